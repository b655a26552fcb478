"""The console scripts of `[project.scripts]`, one for each stage."""

from functools import partial

from ptycho_torch.run.main import main

simulate = partial(main, "simulate")
pretrain = partial(main, "pretrain")
train = partial(main, "train")
infer = partial(main, "infer")
refine = partial(main, "refine")
evaluate = partial(main, "evaluate")
experiment = partial(main, "experiment")
