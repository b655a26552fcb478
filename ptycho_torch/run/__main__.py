"""`python -m ptycho_torch.run STAGE OVERRIDE...`: what the console scripts call."""

import sys

from ptycho_torch.run.main import main
from ptycho_torch.run.stages import STAGES

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in STAGES:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    sys.exit(f"usage: python -m ptycho_torch.run STAGE OVERRIDE...; the stages are {', '.join(STAGES)}")
