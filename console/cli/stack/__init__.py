"""The local stack from the command line. Nothing else in `console` imports `deploy`."""
