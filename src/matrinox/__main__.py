"""`python -m matrinox`: the command line."""

import sys

from matrinox.cli import main

if __name__ == "__main__":
    sys.exit(main())
