"""``python -m hope STEP``: every step of the workflow as a command."""

import sys

from hope.cli import main

if __name__ == "__main__":
    sys.exit(main())
