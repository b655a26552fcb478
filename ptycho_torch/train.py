"""`python -m ptycho_torch.train`: the entry point that the contract names, same as `ptycho-torch train`."""

import sys

from ptycho_torch.cli.main import main

if __name__ == "__main__":
    sys.exit(main(command="train"))
