"""`python -m flowctl` is `flowctl`."""

import sys

from flowctl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
