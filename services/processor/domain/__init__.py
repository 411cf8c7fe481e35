"""What becomes of a raw record: pure rules on bytes and Arrow. No broker, no driver, no settings, no files."""
