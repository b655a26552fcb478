"""`python -m ptycho_torch.inference`: the door that the integration plan names onto `ptycho-torch infer`."""

import sys

from ptycho_torch.cli.main import main

if __name__ == "__main__":
    sys.exit(main(command="infer"))
