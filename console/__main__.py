"""`python -m console`: the `onpoint` command."""

from console.main import main

if __name__ == "__main__":
    main()
