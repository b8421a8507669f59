"""`python -m matrinox.cli`: the command line."""

import sys

from matrinox.cli.command_line import main

if __name__ == "__main__":
    sys.exit(main())
