"""`onpoint bench`: how fast, at what cost, in how much memory; always beside the least that would do."""
