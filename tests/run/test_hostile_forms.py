"""A configuration is data: whatever it asks for beside the list of targets is refused, and nothing is imported.

`hostile` is a module that leaves a file behind as soon as anything imports it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ptycho_torch.errors import ConfigError
from ptycho_torch.run.allowed import ALLOWED, build, check_targets
from ptycho_torch.run.main import main

HOSTILE = "from pathlib import Path\nPath(__file__).with_name('imported').touch()\ndef run(*a, **k): ...\n"
SCHEMA = "ptycho_torch.config"

OVERRIDES = {
    "function": ["model._target_=hostile.run"],
    "module": ["model._target_=hostile"],
    "class of another section": [f"model._target_={SCHEMA}.TrainingSettings"],
    "builder of this package that is not on the list": ["model._target_=ptycho_torch.networks.build.build_network"],
    "class of torch": ["model._target_=torch.nn.Identity"],
    "loader of torch": ["model._target_=torch.hub.load"],
    "class of Lightning": ["+trainer.logger._target_=lightning.pytorch.loggers.CSVLogger"],
    "through a module of the list": [f"model._target_={SCHEMA}.experiment.dataclasses.sys.modules"],
    "through a class of the list": [f"model._target_={SCHEMA}.ModelSettings.from_dict"],
    "attributes of the class": [f"model._target_={SCHEMA}.ModelSettings.__init__.__globals__"],
    "dots doubled": [f"model._target_={SCHEMA}..ModelSettings"],
    "dot at the end": [f"model._target_={SCHEMA}.ModelSettings."],
    "space at the end": [f"model._target_='{SCHEMA}.ModelSettings '"],
    "other capitals": [f"model._target_={SCHEMA}.modelsettings"],
    "letters that look alike": [f"model._target_='{SCHEMA}.M\u043edelSettings'"],
    "escaped": ["model._target_='hostile\\.run'"],
    "a list as target": ["model._target_=[hostile.run]"],
    "a mapping as target": ["model._target_={a:hostile.run}"],
    "a number as target": ["model._target_=1"],
    "an empty target": ["model._target_=null"],
    "added to a section": ["+model.extra._target_=hostile.run"],
    "nested": ["+model.extra={inner:{inner:{_target_:hostile.run}}}"],
    "in a list": ["+model.extra=[{_target_:hostile.run}]"],
    "in a list of lists": ["+model.extra=[[1,[{_target_:hostile.run}]]]"],
    "in the place of a value": ["model.width={_target_:hostile.run}"],
    "in an option": ["run.data={_target_:hostile.run}"],
    "in the options": ["+run._target_=hostile.run"],
    "as the launcher": ["launcher._target_=hostile.run"],
    "as the sweep": ["sweep._target_=hostile.run"],
    "at the root": ["+_target_=hostile.run"],
    "outside of all sections": ["+aside._target_=hostile.run"],
    "by interpolation": ["+aside=hostile.run", "model._target_=${aside}"],
    "by interpolation of parts": ["+aside=hostile", "model._target_=${aside}.run"],
    "by interpolation of a node": ["+aside={_target_:hostile.run}", "+model.extra=${aside}"],
    "by interpolation of a section": ["+aside={_target_:hostile.run}", "model=${aside}"],
    "by a variable": ["model._target_=${oc.env:HOSTILE}"],
    "by a decoded variable": ["+model.extra=${oc.decode:${oc.env:HOSTILE_NODE}}"],
    "by a created node": ["+model.extra=${oc.create:{_target_:hostile.run}}"],
    "by a sweep": ["-m", f"model._target_={SCHEMA}.ModelSettings,hostile.run"],
    "partial": ["model._target_=hostile.run", "+model._partial_=true"],
    "positional arguments": ["model._target_=hostile.run", "+model._args_=[1]"],
    "not recursive": ["model._target_=hostile.run", "+model._recursive_=false"],
    "allowed but partial": ["+model._partial_=true"],
    "allowed with positional arguments": ["+model._args_=[{_target_:hostile.run}]"],
    "allowed but converted": ["+model._convert_=all"],
    "as Hydra's launcher": ["+hydra.launcher._target_=hostile.run"],
    "as Hydra's sweeper": ["hydra/sweeper=hostile"],
    "as a callback of Hydra": ["+hydra.callbacks.one._target_=hostile.run"],
    "as a place to search": ["hydra.searchpath=[pkg://hostile]"],
    "as logging of Hydra": ["+hydra.job_logging.handlers.one.class=hostile.run"],
    "in the package of Hydra": ["+model@hydra=small"],
}
FILES = {
    "section": "defaults: [train, _self_]\nmodel:\n  _target_: hostile.run\n",
    "list": "defaults: [train, _self_]\nmodel:\n  extra: [{_target_: hostile.run}]\n",
    "settings of Hydra": "defaults: [train, _self_]\nhydra:\n  searchpath: [pkg://hostile]\n",
    "package of Hydra": "# @package hydra\nsearchpath: [pkg://hostile]\n",
    "package of Hydra by another name": "# @package hydra.searchpath\n- pkg://hostile\n",
    "object of Python": "model: !!python/object/apply:hostile.run []\n",
    "name of Python": "model: !!python/name:hostile.run\n",
    "module of Python": "model: !!python/module:hostile\n",
    "search by interpolation": "defaults: [train, _self_]\nmodel:\n  _target_: ${aside}\naside: hostile.run\n",
    "launcher of Hydra": "defaults: [train, {override hydra/launcher: hostile}, _self_]\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the module, which Python could import."""
    (tmp_path / "hostile.py").write_text(HOSTILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HOSTILE", "hostile.run")
    monkeypatch.setenv("HOSTILE_NODE", "{_target_: hostile.run}")
    return tmp_path


def refuse(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    before = sorted(folder.rglob("*"))
    assert main("train", words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts) == before
    assert "hostile" not in sys.modules
    return error


@pytest.mark.parametrize("words", OVERRIDES.values(), ids=OVERRIDES.keys())
def test_an_override_runs_nothing(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(words, folder, capsys)


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_a_file_runs_nothing(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "own").mkdir()
    (folder / "own" / "mine.yaml").write_text(text)
    refuse(["--config-dir", "own", "--config-name", "mine"], folder, capsys)


def test_a_refused_target_is_named_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "model.extra[0].inner._target_ is 'hostile.run'" in refuse(
        ["+model.extra=[{inner:{_target_:hostile.run}}]"], folder, capsys
    )


@pytest.mark.parametrize("place", ALLOWED)
def test_what_is_on_the_list_can_be_built(place: str) -> None:
    for target in ALLOWED[place]:
        node = {"_target_": target}
        check_targets({place: node})
        assert type(build(node, place)).__name__ == target.rpartition(".")[2]
        with pytest.raises(ConfigError, match=f"{place}: .*no setting 'unknown'"):
            build({**node, "unknown": 1}, place)
