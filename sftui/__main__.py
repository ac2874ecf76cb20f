"""`python -m sftui`."""

import sys

from sftui.cli import main

if __name__ == "__main__":
    sys.exit(main())
