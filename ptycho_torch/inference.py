"""`python -m ptycho_torch.inference`: the entry point that the contract names, same as `ptycho-torch infer`."""

import sys

from ptycho_torch.cli.main import main

if __name__ == "__main__":
    sys.exit(main(command="infer"))
