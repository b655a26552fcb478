from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from small_networks import make_network, simulate_small, write_network

from ptycho_torch.config import RegistrySettings
from ptycho_torch.errors import DivergenceError, ModelFileError, PtychoError, RegistryError
from ptycho_torch.registry import (
    Comparison,
    Reference,
    Registry,
    Version,
    check_version,
    compare_networks,
    load_version,
    locate_network,
    promote,
)
from ptycho_torch.registry.manifest import open_version


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("networks")
    return write_network(folder, 1), write_network(folder, 2)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, networks: tuple[Path, Path]) -> Path:
    """A folder with a registry of two versions, which tests copy."""
    folder = tmp_path_factory.mktemp("kept")
    registry = open_registry(folder)
    for network in networks:
        registry.register("lab", network)
    return folder


@pytest.fixture
def folder(tmp_path: Path, kept: Path) -> Path:
    """A copy in another place, as if the folder had been moved."""
    return shutil.copytree(kept, tmp_path / "moved")


def open_registry(folder: Path, **settings: float) -> Registry:
    return Registry(RegistrySettings(registry=str(folder / "mlflow.db"), **settings))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "mlmodels").rglob("*") if path.is_file())


def test_versions_are_numbered_and_the_newest_is_the_candidate(folder: Path) -> None:
    registry = open_registry(folder)
    assert [(str(each), each.aliases) for each in registry.list_versions("lab")] == [
        ("lab/1", ()),
        ("lab/2", ("candidate",)),
    ]
    assert registry.find("models:/lab@candidate") == registry.find("lab/2")
    assert registry.list_names() == ["lab"]


def test_a_version_knows_seed_steps_and_figures(folder: Path) -> None:
    version = open_registry(folder).find("lab/2")
    assert (version.tags["seed"], version.tags["steps"], version.tags["network"]) == ("2", "2", "unet")
    assert 0 < version.metrics["test_R"] < 2
    assert "version.torch" in version.tags


def test_the_same_network_is_registered_once(folder: Path, networks: tuple[Path, Path]) -> None:
    registry = open_registry(folder)
    again = registry.register("lab", networks[0])
    assert (again.number, again.aliases) == (1, ("candidate",))
    assert len(registry.list_versions("lab")) == 2
    assert registry.register("other", networks[0]).number == 1


def test_a_registry_works_where_it_was_moved_to(folder: Path) -> None:
    registry = open_registry(folder)
    path = locate_network("models:/lab@candidate", registry.settings)
    assert path.is_relative_to(folder)
    assert load_version(registry, registry.find("lab/2")).steps == 2


def test_a_healthy_version_passes_every_check(folder: Path) -> None:
    registry = open_registry(folder)
    health = check_version(registry, registry.find("lab/1"))
    assert health.passed
    assert [finding.name for finding in health.findings] == ["files", "network", "outputs", "figures"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_a_cut_network_is_refused_and_leaves_nothing(tmp_path: Path, networks: tuple[Path, Path], share: float) -> None:
    content = networks[0].read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelFileError, match=r"cut\.zip"):
        open_registry(tmp_path / "place").register("lab", cut)
    assert not (tmp_path / "place").exists()


def test_a_training_that_still_runs_is_refused(tmp_path: Path, networks: tuple[Path, Path]) -> None:
    shutil.copy(networks[0], tmp_path / "wts.h5.zip")
    (tmp_path / "run.json").write_text('{"status": "running"}')
    with pytest.raises(RegistryError, match="has not finished"):
        open_registry(tmp_path).register("lab", tmp_path)


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "a@b", "x" * 81, "a\n", "ü"])
def test_a_name_that_is_none_is_refused_in_one_line(tmp_path: Path, networks: tuple[Path, Path], name: str) -> None:
    with pytest.raises(RegistryError) as refused:
        open_registry(tmp_path).register(name, networks[0])
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("text", ["lab@", "lab/0", "lab/x", "@production", "models:/", "lab@a@b", "models://lab@a"])
def test_a_reference_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RegistryError, match="does not name a model"):
        Reference.parse(text)


def test_what_does_not_exist_is_named_with_what_does(folder: Path, tmp_path: Path) -> None:
    registry = open_registry(folder)
    for wanted in ("lab@production", "lab/7"):
        with pytest.raises(RegistryError, match=r"has the versions 1, 2 and the aliases candidate"):
            registry.find(wanted)
    with pytest.raises(RegistryError, match="contains no model nothing"):
        registry.find("nothing/1")
    with pytest.raises(RegistryError, match="does not exist"):
        open_registry(tmp_path / "nowhere").list_versions()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["wts.h5.zip", "test_tensors.npz", "manifest.json"])
def test_every_changed_bit_of_a_stored_file_is_found(folder: Path, name: str) -> None:
    registry = open_registry(folder)
    for path in files_of(folder):
        if path.name == name:
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
    for version in registry.list_versions("lab"):
        health = check_version(registry, version)
        assert not health.passed
        assert "was changed" in health.fault
        with pytest.raises(RegistryError, match="was changed"):
            locate_network(f"models:/{version}", registry.settings)


def test_damaged_files_are_written_again_when_the_network_is_registered_again(
    folder: Path, networks: tuple[Path, Path]
) -> None:
    registry = open_registry(folder)
    for path in files_of(folder):
        path.write_bytes(b"")
    assert registry.register("lab", networks[1]).number == 2
    assert check_version(registry, registry.find("lab/2")).passed
    assert not check_version(registry, registry.find("lab/1")).passed


def test_what_lost_processes_have_left_is_removed(folder: Path, networks: tuple[Path, Path]) -> None:
    left = folder / "mlmodels" / ".0123.part"
    left.mkdir()
    (left / "wts.h5.zip").write_bytes(b"half")
    # the folder of a version that was never registered
    for path in (folder / "mlmodels" / "lab").iterdir():
        shutil.copytree(path, folder / "mlmodels" / "late" / path.name)
        (folder / "mlmodels" / "late" / path.name / "wts.h5.zip").write_bytes(b"half")
    registry = open_registry(folder)
    version = registry.register("late", networks[0])
    assert check_version(registry, version).passed
    assert not left.exists()


def test_a_half_written_database_is_started_anew(tmp_path: Path, networks: tuple[Path, Path]) -> None:
    left = tmp_path / ".mlflow.db.0123.part"
    left.write_bytes(b"SQLite format 3\0" + bytes(100))
    assert open_registry(tmp_path).register("lab", networks[0]).number == 1
    assert not left.exists()


def test_registered_files_tell_nothing_of_the_machine(folder: Path, networks: tuple[Path, Path]) -> None:
    words = ("private", "secret.npz", str(networks[0].parent))
    with zipfile.ZipFile(networks[0]) as archive:
        assert any(word.encode() in archive.read(name) for name in archive.namelist() for word in words[:2])
    for path in files_of(folder):
        contents = [path.read_bytes()]
        if path.suffix in (".zip", ".npz"):
            with zipfile.ZipFile(io.BytesIO(contents[0])) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
        for word in words:
            assert not any(word.encode() in content for content in contents), (path, word)


def test_a_figure_that_was_changed_in_the_registry_is_found(folder: Path) -> None:
    registry = open_registry(folder)
    version = registry.find("lab/1")
    with registry.writing() as client:
        client.set_model_version_tag("lab", "1", "metric.test_R", repr(version.metrics["test_R"] * 0.9))
    health = check_version(registry, version)
    assert not health.passed
    assert health.fault.startswith("figures: test_R is registered as ")


def test_code_in_a_checkpoint_is_not_run(folder: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "harm",)

    torch.save({"ptycho_torch": Harm(), "state_dict": {}}, tmp_path / "last.ckpt")
    with pytest.raises(ModelFileError, match=r"could run code; it is not read"):
        open_registry(folder).register("lab", tmp_path / "last.ckpt")
    assert not (tmp_path / "harm").exists()


def test_a_network_whose_outputs_are_not_finite_is_refused(tmp_path: Path) -> None:
    network = write_network(tmp_path, 5, scale=1e30)
    with pytest.raises(DivergenceError, match="are not finite; it is not registered"):
        open_registry(tmp_path).register("lab", network)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_promotion_during_which_another_one_was_promoted_is_refused(
    folder: Path, networks: tuple[Path, Path]
) -> None:
    registry = open_registry(folder)
    promote(registry, registry.find("lab/1"))
    third = registry.register("lab", write_network(folder, 3))

    def compare(first: Version, second: Version) -> Comparison:
        promote(registry, third, force=True)
        pair = make_network(1), make_network(1)
        return compare_networks((str(first), str(second)), pair, [simulate_small()], registry.settings, device="cpu")

    with pytest.raises(RegistryError, match="has put lab/3 into production meanwhile"):
        promote(registry, registry.find("lab/2"), compare)
    assert {alias: str(each) for each in registry.list_versions() for alias in each.aliases} == {
        "previous": "lab/1",
        "production": "lab/3",
    }


def test_versions_of_other_programs_are_left_alone(folder: Path) -> None:
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    client.create_model_version("lab", "file:///etc/passwd", tags={"ptycho_torch.manifest": "x"})
    client.create_registered_model("theirs")
    client.create_model_version("theirs", "file:///etc/passwd")
    registry = open_registry(folder)
    assert [str(version) for version in registry.list_versions()] == ["lab/1", "lab/2"]


def test_a_manifest_with_another_content_is_refused(folder: Path) -> None:
    """A registry whose files and checksums were both changed by others still cannot name files elsewhere."""
    registry = open_registry(folder)
    version = registry.find("lab/1")
    place, _ = registry.fetch(version)
    values = json.loads((place / "manifest.json").read_text())
    values["files"]["../../up"] = values["files"].pop("test_tensors.npz")
    content = json.dumps(values).encode()
    (place / "manifest.json").write_bytes(content)
    with pytest.raises(RegistryError, match="its files are not"):
        open_version(place, hashlib.sha256(content).hexdigest())


def register_one(folder: Path, network: Path) -> int:
    return open_registry(folder, wait_s=120.0).register("lab", network).number


@pytest.mark.slow
def test_writers_at_once_take_turns(tmp_path: Path) -> None:
    sources = [write_network(tmp_path, seed) for seed in (11, 12, 13)]
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        numbers = pool.starmap(register_one, [(tmp_path / "place", source) for source in sources])
    assert sorted(numbers) == [1, 2, 3]
    registry = open_registry(tmp_path / "place")
    assert [version.number for version in registry.list_versions("lab")] == [1, 2, 3]
    assert len({version.weights_sha256 for version in registry.list_versions("lab")}) == 3
    assert len(files_of(tmp_path / "place")) == 9


def test_one_who_waits_too_long_is_told(folder: Path, networks: tuple[Path, Path]) -> None:
    waiting = open_registry(folder, wait_s=0.05)
    with (
        open_registry(folder).writing(),
        pytest.raises(RegistryError, match=r"another process has been writing to it for 0\.05 s"),
    ):
        waiting.register("lab", networks[0])


@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:9", "http://name:password@127.0.0.1:9", "postgresql://name:password@host/models"]
)
def test_a_place_that_cannot_be_used_is_named_without_password(place: str) -> None:
    with pytest.raises(PtychoError) as refused:
        Registry(RegistrySettings(registry=place, wait_s=1)).list_versions()
    assert "password" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, networks: tuple[Path, Path]) -> None:
    (tmp_path / "mlflow.db").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(RegistryError, match=r"mlflow\.db"):
        open_registry(tmp_path).register("lab", networks[0])
    assert (tmp_path / "mlflow.db").read_bytes() == bytes(range(256)) * 40


def test_nothing_is_sent_anywhere(tmp_path: Path, folder: Path, networks: tuple[Path, Path]) -> None:
    code = f"""
import sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("REACHED OUT", event, arguments)
sys.addaudithook(watch)
from pathlib import Path
from ptycho_torch.config import RegistrySettings
from ptycho_torch.registry import Registry, check_version
registry = Registry(RegistrySettings(registry={str(folder / "mlflow.db")!r}))
print(check_version(registry, registry.register("lab", Path({str(networks[0])!r}))).passed)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout.split() == ["True"]
