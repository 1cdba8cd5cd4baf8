"""``python -m scichunk``: the command, where it is not on the path."""

import sys

from scichunk.adapters.cli import main

if __name__ == "__main__":
    sys.exit(main())
