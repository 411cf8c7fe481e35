"""The `onpoint` command: options, settings, rendering, exit codes."""
