"""Configurations that must be refused, by kind, each with the word that the refusal must contain."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Broken:
    """A command line that must be refused.

    Attributes:
        stage: the stage.
        words: its words.
        named: what the one line of the refusal must name.
        files: files to write before, by name, with their text.
    """

    stage: str
    words: tuple[str, ...]
    named: str
    files: dict[str, str] = field(default_factory=dict)

    def prepare(self, folder: Path) -> None:
        """Write the files."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


_OWN = ("--config-dir", "own")
_DATA = "run.data=scan.npz"

BROKEN = {
    "a setting misspelt": Broken("train", ("training.stepz=2",), "'stepz'"),
    "a section misspelt": Broken("train", ("trainning.steps=2",), "'trainning"),
    "an option of a group misspelt": Broken("train", ("model=unett",), "'model/unett'"),
    "a group misspelt": Broken("train", ("modle=unet",), "'modle'"),
    "a value of another type": Broken("train", ("training.steps=many",), "training.steps"),
    "a value out of range": Broken("train", ("model.width=1",), "model.width"),
    "a value that is no choice": Broken("train", ("model.output=phase",), "model.output"),
    "an empty value": Broken("train", ("training.batch_size=null",), "training.batch_size"),
    "a missing interpolation": Broken("train", ("model.width=${undefined_key}",), "undefined_key"),
    "interpolation in a circle": Broken("train", ("model.width=${model.depth}", "model.depth=${model.width}"), "model"),
    "interpolation of another type": Broken("train", ("model.width=${model.output}",), "model.width"),
    "an unknown target": Broken("train", ("model._target_=ptycho_torch.nothing",), "ptycho_torch.nothing"),
    "a forbidden target": Broken("train", ("model._target_=os.system",), "os.system"),
    "a target in another place": Broken(
        "train", ("model._target_=ptycho_torch.config.TrainingSettings",), "TrainingSettings"
    ),
    "a network too deep for the patterns": Broken(
        "experiment", ("simulation.patch_px=48", "simulation.object_px=96", "model.depth=5"), "model.depth"
    ),
    "an object too small for the patterns": Broken("experiment", ("simulation.object_px=64",), "simulation.object_px"),
    "hardware and network that exclude each other": Broken(
        "experiment",
        ("simulation=eight_patterns", "trainer.gradient_checkpointing=true", "model.normalisation=batch"),
        "gradient_checkpointing",
    ),
    "no input": Broken("train", (), "run.data"),
    "an input that does not exist": Broken("train", ("run.data=nothing.npz",), "nothing.npz"),
    "an input that is no scan": Broken("train", (_DATA,), "scan.npz", {"scan.npz": "text"}),
    "an option misspelt": Broken("train", ("run.datta=scan.npz",), "'datta'"),
    "an unknown device": Broken("train", ("run.device=gpu",), "run.device"),
    "an unknown launcher": Broken("train", ("launcher=elsewhere",), "'launcher/elsewhere'"),
    "a key added": Broken("train", ("+model.extra=1",), "'extra'"),
    "a section added": Broken("train", ("+extra.key=1",), "'extra'"),
    "a section left out": Broken("train", ("~model",), "model"),
    "several values without a sweep": Broken("train", ("model.width=4,8",), "--multirun"),
    "a search without a sweep": Broken("train", ("sweep.trials=3",), "sweep.trials"),
    "an override that cannot be read": Broken("train", ("model.width=[1",), "model.width=[1"),
    "settings of Hydra": Broken("train", ("hydra.run.dir=elsewhere",), "hydra.run.dir"),
    "an output folder in use": Broken(
        "experiment", ("run.output_dir=used",), "used", {"used/results.txt": "valuable results"}
    ),
    "a broken run of a sweep": Broken("train", ("-m", "model.width=4,1,8"), "model.width=1"),
    "a broken end of an interval": Broken(
        "train", ("-m", "sweep=tpe", "training.last_rate=interval(0.5,3)"), "training.last_rate"
    ),
    "a folder of configurations that does not exist": Broken("train", _OWN, "own"),
    "a file with a setting misspelt": Broken(
        "train", (*_OWN, "model=mine"), "'widht'", {"own/model/mine.yaml": "defaults: [default]\nwidht: 4\n"}
    ),
    "a file with an unknown option": Broken(
        "train",
        (*_OWN, "--config-name", "mine"),
        "'model/unett'",
        {"own/mine.yaml": "defaults: [train, {override model: unett}, _self_]\n"},
    ),
    "a file with an object of Python": Broken(
        "train", _OWN, "mine.yaml", {"own/mine.yaml": "model: !!python/object/apply:os.system [touch hit]\n"}
    ),
    "a file that is no mapping": Broken("train", _OWN, "mine.yaml", {"own/mine.yaml": "5\n"}),
    "a file with references": Broken("train", _OWN, "mine.yaml", {"own/mine.yaml": "a: &a [1]\nb: [*a, *a]\n"}),
    "a configuration of another stage": Broken(
        "refine", (*_OWN, "--config-name", "mine"), "'train'", {"own/mine.yaml": "defaults: [{run: train}, _self_]\n"}
    ),
    "a configuration that does not exist": Broken("train", ("--config-name", "nothing"), "nothing"),
}
