"""`python -m cli`, which is what ./qold runs."""

import sys

from cli.app import main

if __name__ == "__main__":
    sys.exit(main())
