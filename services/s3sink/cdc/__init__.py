"""The change-capture consumer: a process of its own."""
