"""`python -m ptycho_torch COMMAND`."""

import sys

from ptycho_torch.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
