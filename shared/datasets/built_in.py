"""Where the dataset files are that come with OnPoint."""

from pathlib import Path

BUILT_IN = Path(__file__).parent
