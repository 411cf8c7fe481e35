"""A row's way back to the request that brought it, and forward to all that holds it. Reads only."""
