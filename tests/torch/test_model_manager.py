"""Bundles of trained networks: written, read back, refused; rule by rule of specs/persistence.md."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from numpy_network import patch_of
from torch_optional import requires_torch

from ptycho_torch.config import Experiment, ModelSettings, TrainingSettings
from ptycho_torch.contracts.legacy.parameters import cfg
from ptycho_torch.contracts.legacy.translation import to_legacy_parameters
from ptycho_torch.errors import BundleError, OutputError
from ptycho_torch.models.archive import Bundle, open_bundle, write_bundle
from ptycho_torch.models.record import make_record

if TYPE_CHECKING:
    from ptycho_torch.data.scan import Scan

Members = dict[str, bytes]
Arrays = dict[str, NDArray[Any]]
Change = Callable[[Members], Any]

SIDE = 32
NAMES = [
    "autoencoder/params.dill",
    "autoencoder/weights.npz",
    "diffraction_to_obj/params.dill",
    "diffraction_to_obj/weights.npz",
    "manifest.dill",
    "record.json",
]
EXPERIMENT = Experiment(model=ModelSettings(width=4, depth=1), training=TrainingSettings(seed=5))
PARAMS: dict[str, Any] = {
    "N": SIDE,
    "gridsize": 2,
    "nphotons": 1.5e6,
    "amp_activation": "swish",
    "object.big": True,
    "probe.mask": False,
    "n_groups": None,
    "train_data_file_path": "scans/first.npz",
    "size": (SIDE, SIDE),
    "nested": {"list": [1, 2.5, "three"]},
}
MODELS = ("autoencoder", "diffraction_to_obj")
VERSION = {"models": list(MODELS), "version": "2.0-pytorch"}
RECORD: dict[str, Any] = {
    "version": 1,
    "patch_px": SIDE,
    "experiment": EXPERIMENT.to_dict(),
    "steps": 7,
    "params": PARAMS | {"size": {"tuple": [SIDE, SIDE]}},
}
# every flat parameter of the contract: the 31 of its snapshot, and the deprecated alias n_images
LEGACY_KEYS = {
    *("N", "gridsize", "n_filters_scale", "model_type", "amp_activation", "object.big", "probe.big", "probe.mask"),
    *("pad_object", "probe_scale", "gaussian_smoothing_sigma", "train_data_file_path", "test_data_file_path"),
    *("batch_size", "nepochs", "mae_weight", "nll_weight", "realspace_mae_weight", "realspace_weight", "nphotons"),
    *("n_groups", "n_images", "n_subsample", "subsample_seed", "neighbor_count", "positions.provided"),
    *("probe.trainable", "intensity_scale.trainable", "output_prefix", "sequential_sampling", "model_path", "debug"),
}


@pytest.fixture(autouse=True)
def own_flat_parameters() -> Iterator[None]:
    """The flat parameters are as they were after each test."""
    before = dict(cfg)
    yield
    cfg.clear()
    cfg.update(before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as Lightning lays it out, of a network that has left its start, with the probes of two scans."""
    import torch

    from ptycho_torch.networks.build import build_network

    network = build_network(EXPERIMENT, SIDE)
    torch.manual_seed(1)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    state = {f"generator.{key}": value for key, value in network.state_dict().items()}
    state["probes"] = torch.randn(2, 2, SIDE, SIDE, dtype=torch.complex64) * torch.tensor([1, 0.3])[:, None, None]
    state["photons"] = torch.tensor([1e6, 2e6])
    state["good"] = torch.ones(2, SIDE, SIDE)
    state["good"][1, 3, 4:7] = 0
    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    torch.save({"state_dict": state, "ptycho_torch": make_record(EXPERIMENT, SIDE), "global_step": 7}, path)
    return path


def npz(arrays: Arrays) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def pickled(values: Any) -> bytes:
    """Values as the members of a bundle hold them: protocol 2 without a memo, names in order."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=2)
    pickler.fast = True
    pickler.dump(dict(sorted(values.items())) if isinstance(values, dict) else values)
    return stream.getvalue()


def by_hand() -> Members:
    """A bundle's members written with the standard library and NumPy alone."""
    network: Arrays = {"head.bias": np.zeros(2, np.float32), "body": np.arange(6, dtype=np.float32).reshape(2, 3)}
    physics: Arrays = {
        "probes": np.full((1, 1, SIDE, SIDE), 1 + 2j, np.complex64),
        "photons": np.array([1e6], np.float32),
        "good": np.ones((1, SIDE, SIDE), np.float32),
    }
    members = {"manifest.dill": pickled(VERSION), "record.json": json.dumps(RECORD).encode()}
    for model, weights in (
        ("autoencoder", {f"generator.{name}": value for name, value in network.items()} | physics),
        ("diffraction_to_obj", network),
    ):
        members[f"{model}/params.dill"] = pickled(PARAMS)
        members[f"{model}/weights.npz"] = npz(weights)
    return members


def packed(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def unpacked(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def arrays_of(content: bytes) -> Arrays:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def tree(path: Path) -> str:
    """What is in a bundle, the arrays with type and shape."""
    lines = []
    for name, content in sorted(unpacked(path).items()):
        lines.append(name)
        if name.endswith(".npz"):
            lines += [f"  {key} {value.dtype} {value.shape}" for key, value in sorted(arrays_of(content).items())]
    return "\n".join(lines) + "\n"


class TestSaveTorchBundle:
    @requires_torch
    def test_archive_structure(self, checkpoint: Path, tmp_path: Path) -> None:
        """[PS-1.1], [PS-1.4], [PS-1.5], [PS-1.7], [PS-1.8]: the stored snapshot's tree, stable bytes."""
        from ptycho_torch.contracts.legacy.workflows import save_torch_bundle

        path = save_torch_bundle(checkpoint, tmp_path / "one", PARAMS)
        assert path == tmp_path / "one" / "wts.h5.zip"
        assert tree(path) == (Path(__file__).parent / "archive_tree.txt").read_text(encoding="utf-8")
        with zipfile.ZipFile(path) as archive:
            assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        written = json.loads(unpacked(path)["record.json"])
        assert written.pop("written_by")
        assert written == RECORD | {"version": 2}
        again = save_torch_bundle(checkpoint, tmp_path / "named.zip", dict(reversed(PARAMS.items())))
        assert again == tmp_path / "named.zip"
        assert again.read_bytes() == path.read_bytes()

    @requires_torch
    def test_params_snapshot(self, checkpoint: Path, tmp_path: Path) -> None:
        """[PS-1.3], [PS-1.6]: both models carry the flat parameters, as any unpickler reads them."""
        from ptycho_torch.contracts.legacy.workflows import save_torch_bundle

        members = unpacked(save_torch_bundle(checkpoint, tmp_path, PARAMS))
        for model in ("autoencoder", "diffraction_to_obj"):
            assert pickle.loads(members[f"{model}/params.dill"]) == PARAMS
        assert members["manifest.dill"][:2] == b"\x80\x02"

    def test_equal_parameters_give_equal_bytes(self, tmp_path: Path) -> None:
        """[PS-1.8]: whether two values are one object in memory does not matter."""
        good, word = open_bundle(packed(tmp_path / "good.zip", by_hand())), "a word of some length"
        other = "".join(list(word))
        for path, second in (("one", word), ("two", other)):
            values = {"first": word, "second": second, "lists": [[word], [second]]}
            write_bundle(Bundle(good.weights, values, good.experiment, SIDE, 7), tmp_path / path)
        assert word is not other
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    @requires_torch
    def test_nothing_is_replaced_unasked(self, checkpoint: Path, tmp_path: Path) -> None:
        """[PS-2.1]."""
        from ptycho_torch.contracts.legacy.workflows import save_torch_bundle

        path = save_torch_bundle(checkpoint, tmp_path, PARAMS)
        before = path.read_bytes()
        with pytest.raises(OutputError, match=r"wts\.h5\.zip: .*exists"):
            save_torch_bundle(checkpoint, tmp_path, PARAMS | {"gridsize": 3})
        assert path.read_bytes() == before
        save_torch_bundle(checkpoint, tmp_path, PARAMS | {"gridsize": 3}, overwrite=True)
        assert open_bundle(tmp_path).params["gridsize"] == 3
        assert [entry.name for entry in tmp_path.iterdir()] == ["wts.h5.zip"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [("probe.mask", np.ones(3)), ("probe_scale", np.float64(4)), ("path", Path("a")), (3, 4), ("N", 2 * SIDE)],
    )
    def test_what_is_no_plain_parameter_is_refused(self, name: Any, value: Any, tmp_path: Path) -> None:
        """[PS-2.2]."""
        good = open_bundle(packed(tmp_path / "good.zip", by_hand()))
        with pytest.raises(BundleError, match=str(name)):
            write_bundle(
                Bundle(good.weights, PARAMS | {name: value}, good.experiment, good.patch_px, good.steps),
                tmp_path / "bad.zip",
            )
        assert not (tmp_path / "bad.zip").exists()


class Exploit:
    """Unpickling this would run a command."""

    def __init__(self, witness: Path) -> None:
        self._witness = witness

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, (f"touch {self._witness}",)


def replaced(name: str, content: bytes) -> Change:
    return lambda members: members.update({name: content})


def lacking(name: str) -> Change:
    return lambda members: members.pop(name)


def manifest(values: Any) -> Change:
    return replaced("manifest.dill", pickled(values))


def params(content: bytes) -> Change:
    """Parameters that only the models hold, as in bundles whose record has none."""

    def change(members: Members) -> None:
        stored = json.loads(members["record.json"])
        stored.pop("params")
        members["record.json"] = json.dumps(stored).encode()
        members.update({f"{model}/params.dill": content for model in MODELS})

    return change


def params_of(values: Any) -> Change:
    return params(pickled(values))


def agreed(**values: Any) -> Change:
    """Parameters that the record and the models hold alike."""

    def change(members: Members) -> None:
        record(params=RECORD["params"] | values)(members)
        members.update({f"{model}/params.dill": pickled(PARAMS | values) for model in MODELS})

    return change


def weights(model: str, **arrays: Any) -> Change:
    """Replace arrays of one model; None removes."""

    def change(members: Members) -> None:
        kept = arrays_of(members[f"{model}/weights.npz"]) | arrays
        members[f"{model}/weights.npz"] = npz({name: value for name, value in kept.items() if value is not None})

    return change


def record(**values: Any) -> Change:
    def change(members: Members) -> None:
        members["record.json"] = json.dumps(json.loads(members["record.json"]) | values).encode()

    return change


def body(value: Any) -> Change:
    """Replace an array of the network in both models."""

    def change(members: Members) -> None:
        weights("diffraction_to_obj", body=value)(members)
        weights("autoencoder", **{"generator.body": value})(members)

    return change


def npy(shape: str, dtype: str = "<f4", content: bytes = b"") -> Change:
    """An array whose header was written by hand."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"

    def change(members: Members) -> None:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("body.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content)
        members["diffraction_to_obj/weights.npz"] = stream.getvalue()

    return change


def endless_list() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def wide_list() -> list[Any]:
    """Ten lists, each of ten times the one before: small as a pickle, 10^10 values when walked through."""
    inner: list[Any] = [0]
    for _ in range(6):
        inner = [inner] * 100
    return inner


def deep_list() -> bytes:
    return b"\x80\x02}X\x01\x00\x00\x00a" + b"]" * 5000 + b"a" * 4999 + b"s."


def tower_for_a_name() -> bytes:
    """A tuple of two that are one and the same tuple of two, sixty deep: its hash takes 2^60 steps."""
    floors = b"".join(b"q%bh%b\x86" % (bytes([floor]), bytes([floor])) for floor in range(60))
    return b"\x80\x02})" + floors + b"Ns."


# what is changed in a bundle written by hand, and what is said about it
WRONG_CONTENT: dict[str, tuple[Change, str]] = {
    **{f"lacks {lost}": (lacking(lost), f"lacks {lost}") for lost in NAMES},
    "no members": (lambda members: members.clear(), "lacks manifest.dill"),
    "a member too many": (replaced("notes.txt", b"hello"), r"notes\.txt"),
    "leaves the archive": (replaced("../x", b""), r"\.\./x"),
    "leaves it later": (replaced("autoencoder/../../x", b""), r"\.\./x"),
    "absolute": (replaced("/etc/x", b""), "/etc/x"),
    "backslash": (replaced("autoencoder\\params.dill", b""), "autoencoder.*params"),
    "drive": (replaced("C:/x", b""), "C:/x"),
    "manifest is no pickle": (replaced("manifest.dill", b"version 2"), r"manifest\.dill"),
    "manifest is cut off": (replaced("manifest.dill", pickle.dumps(VERSION, 2)[:-9]), r"manifest\.dill"),
    "manifest goes on": (replaced("manifest.dill", pickle.dumps(VERSION, 2) + b"x"), r"manifest\.dill"),
    "manifest is empty": (replaced("manifest.dill", b""), r"manifest\.dill"),
    "manifest of an older protocol": (replaced("manifest.dill", pickle.dumps(VERSION, 0)), "manifest"),
    "manifest is a list": (manifest(["2.0-pytorch"]), "manifest"),
    "older version": (manifest(VERSION | {"version": "1.0"}), "manifest"),
    "no version": (manifest({"models": list(MODELS)}), "manifest"),
    "other models": (manifest(VERSION | {"models": ["autoencoder"]}), "manifest"),
    "class in the parameters": (params(pickle.dumps({"path": Path("x")}, 4)), "params"),
    "set in the parameters": (params(pickle.dumps({"set": {1}}, 2)), "params"),
    "global that is never called": (params(b"\x80\x02cos\nsystem\n."), "params"),
    "old way to call": (params(b"\x80\x02(S'true'\nios\nsystem\n."), "params"),
    "extension": (params(b"\x80\x02\x82\x01."), "params"),
    "persistent id": (params(b"\x80\x02X\x01\x00\x00\x00aQ."), "params"),
    "bytes in the parameters": (params(pickle.dumps({"a": b"x"}, 4)), "params"),
    "set of protocol 4": (params(pickle.dumps({"a": {1}}, 4)), "params"),
    "memo of gigabytes": (params(b"\x80\x02}r\xff\xff\xff\x7f."), "params"),
    "claims a long text": (params(b"\x80\x02X\xff\xff\xff\x7fa."), "params"),
    "endless list": (params(pickle.dumps({"a": endless_list()}, 2)), "params"),
    "list of lists of lists": (params(pickle.dumps({"a": wide_list()}, 2)), "params"),
    "deep list": (params(deep_list()), "params"),
    "deep tuple for a name": (params(b"\x80\x02})" + b"\x85" * 500_000 + b"Ns."), "params"),
    "tower of tuples for a name": (params(tower_for_a_name()), "params"),
    "tower for a name in a batch": (
        params(tower_for_a_name().replace(b"})", b"}()").replace(b"Ns.", b"Nu.")),
        "params",
    ),
    "tower for a name in a new table": (
        params(tower_for_a_name().replace(b"})", b"()").replace(b"Ns.", b"Nd.")),
        "params",
    ),
    "tower for a name far inside": (
        params(b"\x80\x02}X\x01\x00\x00\x00a" + tower_for_a_name()[2:-1] + b"s."),
        "params",
    ),
    "numbers for names inside": (params_of({"a": {1: 2}}), "params"),
    "a name from behind a mark": (params(b"\x80\x02}X\x01\x00\x00\x00a(Ns."), "params"),
    "deep tuple": (params(b"\x80\x02}X\x01\x00\x00\x00a)" + b"\x85" * 500_000 + b"s."), "params"),
    "huge number for a name": (params(pickle.dumps({10**5000: 1}, 2)), "params"),
    "huge number": (params_of({"a": 10**5000}), "params"),
    "parameters without names": (params_of({1: 2}), "params"),
    "parameters are a list": (params_of([1]), "params"),
    "too large a pickle": (params_of({"a": "x" * 2**21}), "params.*MiB"),
    "models disagree about parameters": (
        replaced("autoencoder/params.dill", pickled(PARAMS | {"gridsize": 1})),
        "parameters",
    ),
    "parameters of another size": (agreed(N=64), "N is 64"),
    "models of another protocol": (
        lambda members: members.update({f"{model}/params.dill": pickle.dumps(PARAMS, 4) for model in MODELS}),
        "params.dill.*record.json",
    ),
    "record of other parameters": (record(params=PARAMS | {"gridsize": 1}), "params.dill.*record.json"),
    "record of a list of parameters": (record(params=[1]), "list of parameters"),
    "record of a tuple of parameters": (record(params={"tuple": [1]}), "tuple of parameters"),
    "record of a number for a tuple": (record(params={"a": {"tuple": 5}}), "params"),
    "record of a huge number": (record(params={"a": 10**300}), "params"),
    "record of an infinite number": (record(params={"a": float("inf")}), "params"),
    "record of deep parameters": (record(params={"a": [[[[[[[[[[1]]]]]]]]]]}), "too many"),
    "record is no JSON": (replaced("record.json", b"{"), r"record\.json"),
    "record is a list": (replaced("record.json", b"[]"), "record"),
    "record is deep": (replaced("record.json", b"[" * 100_000), r"record\.json"),
    "record is not text": (replaced("record.json", b"\xff\xfe\x00"), r"record\.json"),
    "record of another version": (record(version=99), "version 99"),
    "record of an unusable setting": (record(experiment={"model": {"width": "red"}}), "width is 'red'"),
    "record of an unusable section": (record(experiment={"model": 3}), "section 'model'"),
    "record without settings": (record(experiment=None), "record"),
    "size is a word": (record(patch_px="wide"), "patch_px"),
    "size is true": (record(patch_px=True), "patch_px"),
    "size is negative": (record(patch_px=-32), "patch_px"),
    "steps is a word": (record(steps="many"), "steps"),
    "steps is missing": (record(steps=None), "steps"),
    "objects among the weights": (body(np.array([{}, None], object)), "weights"),
    "text among the weights": (body(np.array(["a"])), "weights"),
    "wide numbers": (body(np.zeros((2, 3))), "type '<f8'"),
    "not a number": (body(np.array([0, np.nan], np.float32)), "finite"),
    "infinite": (weights("autoencoder", probes=np.full((1, 1, SIDE, SIDE), np.inf * 1j, np.complex64)), "finite"),
    "weights are no archive": (replaced("autoencoder/weights.npz", b"PK no more"), "weights"),
    "no weights": (replaced("diffraction_to_obj/weights.npz", npz({})), "weights"),
    "header claims too much": (npy("(1000000000000,)"), "weights"),
    "header claims nothing": (npy("(0,)"), "weights"),
    "header claims less than nothing": (npy("(-1,)", content=bytes(4)), "weights"),
    "header claims less than nothing twice": (npy("(-1, -1)", content=bytes(4)), "weights"),
    "header is code": (npy("__import__('os').system('true')"), "weights"),
    "header is deep": (npy("(" * 3000), "weights"),
    "other weights in the other model": (weights("diffraction_to_obj", body=np.ones((2, 3), np.float32)), "differ"),
    "weights of one model only": (weights("diffraction_to_obj", extra=np.ones(2, np.float32)), "differ"),
    "no probes": (weights("autoencoder", probes=None), "probes"),
    "probes of another size": (weights("autoencoder", probes=np.ones((1, 1, 16, 16), np.complex64)), "probes"),
    "real probes": (weights("autoencoder", probes=np.ones((1, 1, SIDE, SIDE), np.float32)), "probes"),
    "no scans": (weights("autoencoder", photons=None), "photons"),
    "photons of more scans": (weights("autoencoder", photons=np.ones(2, np.float32)), "photons"),
    "no photons": (weights("autoencoder", photons=np.zeros(1, np.float32)), "photons"),
    "masks of more scans": (weights("autoencoder", good=np.ones((2, SIDE, SIDE), np.float32)), "good"),
    "half good pixels": (weights("autoencoder", good=np.full((1, SIDE, SIDE), 0.5, np.float32)), "good"),
}


def cut(share: float) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        content = packed(path, by_hand()).read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return damage


def link(path: Path) -> None:
    packed(path, {name: content for name, content in by_hand().items() if name != "record.json"})
    member = zipfile.ZipInfo("record.json")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, "/etc/passwd")


def twice(path: Path) -> None:
    packed(path, by_hand())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("record.json", "{}")


def expanding(path: Path) -> None:
    members = by_hand() | {"autoencoder/weights.npz": bytes(2**26)}
    packed(path, members, zipfile.ZIP_DEFLATED)


def many(path: Path) -> None:
    packed(path, by_hand() | {f"notes/{number}": b"" for number in range(2000)})


def edited(field: int, value: bytes) -> Callable[[Path], object]:
    """Change a field of the last member's entry in the central directory."""

    def damage(path: Path) -> None:
        content = bytearray(packed(path, by_hand()).read_bytes())
        entry = content.rindex(b"PK\x01\x02")
        content[entry + field : entry + field + len(value)] = value
        path.write_bytes(content)

    return damage


# how a bundle's file is spoilt, and what is said about it
WRONG_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "does not exist"),
    "empty file": (lambda path: path.touch(), "not a readable bundle"),
    "text": (lambda path: path.write_text("weights"), "not a readable bundle"),
    "folder without a bundle": (lambda path: path.mkdir(), "does not exist"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(VERSION)), "not a readable bundle"),
    **{f"cut to {share:.0%}": (cut(share), "not a readable bundle") for share in (0.1, 0.5, 0.9, 0.9995)},
    "link": (link, "record.json is a link"),
    "given twice": (twice, "record.json.*twice"),
    "expands a thousandfold": (expanding, "not a readable"),
    "thousands of members": (many, "members"),
    "encrypted": (edited(8, b"\x01"), "encrypted"),
    "claims four gigabytes": (edited(24, b"\xf0\xff\xff\xff"), "claims|not a readable"),
    "claims less than it holds": (edited(24, b"\x05\x00\x00\x00"), "not a readable bundle"),
    "checksum": (edited(16, b"\x00\x00\x00\x00"), "not a readable bundle"),
    "unknown compression": (edited(10, b"\x63\x00"), "compress"),
    "bzip2": (lambda path: packed(path, by_hand(), zipfile.ZIP_BZIP2), "compress"),
    "lzma": (lambda path: packed(path, by_hand(), zipfile.ZIP_LZMA), "compress"),
}


class TestLoadTorchBundle:
    @requires_torch
    def test_load_bundle_restores_params_cfg(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """[PS-4.1]: yesterday's values are gone, today's are there, and were before the network was built."""
        from ptycho_torch.contracts.legacy.workflows import load_torch_bundle, save_torch_bundle
        from ptycho_torch.networks.build import build_network

        seen: list[dict[str, Any]] = []

        def spy(*arguments: Any) -> Any:
            seen.append(dict(cfg))
            return build_network(*arguments)

        path = save_torch_bundle(checkpoint, tmp_path, PARAMS)
        cfg.clear()
        cfg.update(yesterday=True, N=512)
        monkeypatch.setattr("ptycho_torch.models.checkpoint.build_network", spy)
        _, params = load_torch_bundle(path)
        assert params == PARAMS
        assert cfg == PARAMS
        assert seen == [PARAMS]
        params["N"] = 0
        assert cfg["N"] == SIDE

    @pytest.mark.parametrize("case", [*WRONG_FILES, *WRONG_CONTENT])
    def test_malformed_archive_raises_error(self, case: str, tmp_path: Path) -> None:
        """[PS-3.3], [PS-3.4], [PS-3.5], [PS-3.6], [PS-3.7], [PS-3.8]."""
        path = tmp_path / "bad.zip"
        if case in WRONG_FILES:
            damage, message = WRONG_FILES[case]
            damage(path)
        else:
            members = by_hand()
            change, message = WRONG_CONTENT[case]
            change(members)
            packed(path, members)
        with pytest.raises(BundleError, match=rf"(?s)bad\.zip(/wts\.h5\.zip)?: .*({message})") as caught:
            open_bundle(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500

    def test_a_record_without_parameters_is_read_where_they_are_single_values(self, tmp_path: Path) -> None:
        """[PS-3.9]: as the bundle was that an older version of this package left after `train`."""
        found = open_bundle(Path(__file__).parent / "persistence" / "older_bundle")
        assert set(found.params) == LEGACY_KEYS
        stored = {name: found.params[name] for name in ("N", "nepochs", "nphotons", "probe.mask", "n_groups")}
        assert stored == {"N": 16, "nepochs": 1, "nphotons": 999861.375, "probe.mask": False, "n_groups": None}
        assert (found.steps, found.experiment.model.width) == (2, 4)
        write_bundle(found, tmp_path / "again.zip")
        assert open_bundle(tmp_path / "again.zip").params == found.params
        values = {"least": -(2**63), "long": "x" * 70_000, "N": SIDE, "ratio": -0.0, "word": "\udc80é"}
        values |= {f"{number:05}": number for number in range(3000)}
        members = by_hand()
        params_of(values)(members)
        assert open_bundle(packed(tmp_path / "good.zip", members)).params == values

    @pytest.mark.parametrize("values", [{"a": [1]}, {"a": ()}, {"a": {}}, {"a": {"b": 1}}, {"a": (1, 2, 3)}])
    def test_a_record_without_parameters_is_refused_where_they_hold_others(self, values: Any, tmp_path: Path) -> None:
        """[PS-3.9]"""
        members = by_hand()
        params_of(values)(members)
        with pytest.raises(BundleError, match="params"):
            open_bundle(packed(tmp_path / "bad.zip", members))

    def test_any_plain_value_comes_back(self, tmp_path: Path) -> None:
        """[PS-1.6], [PS-1.7]"""
        good = open_bundle(packed(tmp_path / "good.zip", by_hand()))
        values = {"a": ((1, "a"), [(), {"tuple": 1, "b": (2,)}]), "least": -(2**63), "text": "\udc80é\n", "zero": -0.0}
        write_bundle(Bundle(good.weights, values, good.experiment, SIDE, 7), tmp_path / "two.zip")
        assert repr(open_bundle(tmp_path / "two.zip").params) == repr(values)
        lone = Bundle(good.weights, {"a": {"tuple": 1}}, good.experiment, SIDE, 7)
        with pytest.raises(BundleError, match="'tuple'"):
            write_bundle(lone, tmp_path / "three.zip")

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({10**5000: 1}, "name of type int"),
            ({"a": {10**5000: 1}}, "name of type int"),
            ({"a": {2: 1}}, "name 2 must"),
            ({(1, 2): 1}, "name of type tuple"),
        ],
        ids=["huge", "huge inside", "inside", "tuple"],
    )
    def test_names_that_are_no_texts_are_not_written(self, values: Any, message: str, tmp_path: Path) -> None:
        """PS-2.2."""
        good = open_bundle(packed(tmp_path / "good.zip", by_hand()))
        with pytest.raises(BundleError, match=message):
            write_bundle(Bundle(good.weights, values, good.experiment, SIDE, 7), tmp_path / "bad.zip")
        assert not (tmp_path / "bad.zip").exists()

    @pytest.mark.parametrize("name", ["manifest.dill", "autoencoder/params.dill", "diffraction_to_obj/params.dill"])
    @pytest.mark.parametrize("protocol", [2, 3, 4])
    def test_nothing_in_a_pickle_is_run(self, name: str, protocol: int, tmp_path: Path) -> None:
        """[PS-3.3]."""
        witness = tmp_path / "witness"
        members = by_hand() | {name: pickle.dumps({"N": SIDE, "version": Exploit(witness)}, protocol)}
        with pytest.raises(BundleError, match=name):
            open_bundle(packed(tmp_path / "bad.zip", members))
        assert not witness.exists()
        pickle.loads(members[name])
        assert witness.exists()

    def test_any_damage_is_refused_or_harmless(self, tmp_path: Path) -> None:
        """[PS-3.8]: a byte changed anywhere ends in a BundleError, or in the same bundle."""
        path, rng = packed(tmp_path / "bad.zip", by_hand()), np.random.default_rng(11)
        good, refused = path.read_bytes(), 0
        for place in rng.permutation(len(good))[:150].tolist() + list(range(len(good) - 400, len(good), 3)):
            content = bytearray(good)
            content[place] ^= int(rng.integers(1, 256))
            path.write_bytes(content)
            try:
                found = open_bundle(path)
            except BundleError:
                refused += 1
            else:
                assert found.params == PARAMS
                np.testing.assert_array_equal(found.weights["generator.body"], np.arange(6).reshape(2, 3))
        assert refused > 150

    def test_a_bundle_written_by_hand_is_read(self, tmp_path: Path) -> None:
        """[PS-1.4], [PS-3.1]: from the file, from its folder, and when a zip tool has packed it again."""
        file = packed(tmp_path / "wts.h5.zip", by_hand())
        again = {"autoencoder/": b"", "diffraction_to_obj/": b""} | by_hand()
        for path in (file, tmp_path, str(file), packed(tmp_path / "again.zip", again, zipfile.ZIP_DEFLATED)):
            bundle = open_bundle(path)
            assert bundle.params == PARAMS
            assert (bundle.experiment, bundle.patch_px, bundle.steps) == (EXPERIMENT, SIDE, 7)
            assert set(bundle.models["diffraction_to_obj"]) == {"head.bias", "body"}
            np.testing.assert_array_equal(bundle.models["diffraction_to_obj"]["body"], [[0, 1, 2], [3, 4, 5]])
            assert set(bundle.models["autoencoder"]) == {
                *("generator.head.bias", "generator.body", "probes", "photons", "good")
            }

    def test_reading_takes_no_torch_and_leaves_nothing(self, tmp_path: Path) -> None:
        """[PS-3.2]."""
        path = packed(tmp_path / "wts.h5.zip", by_hand())
        code = (
            "import sys\nfrom ptycho_torch.models.archive import open_bundle\n"
            f"assert open_bundle({str(path)!r}).params['N'] == {SIDE}\n"
            "assert not {'torch', 'lightning', 'scipy', 'h5py'} & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert [entry.name for entry in tmp_path.iterdir()] == ["wts.h5.zip"]

    @requires_torch
    @pytest.mark.parametrize(
        "change",
        [
            lambda weights: weights.pop("generator.body.body.3.bias"),
            lambda weights: weights.update({"generator.more": np.ones(3, np.float32)}),
            lambda weights: weights.update({"generator.body.body.3.bias": np.ones(9, np.float32)}),
            lambda weights: weights.update({"generator.body.body.3.bias": np.ones(8, np.int64)}),
        ],
        ids=["one missing", "one too many", "another shape", "another type"],
    )
    def test_weights_that_do_not_fit_the_network_are_refused(
        self, change: Callable[[Arrays], Any], checkpoint: Path, tmp_path: Path
    ) -> None:
        """[PS-3.7], [PS-4.2]."""
        from ptycho_torch.contracts.legacy.workflows import load_torch_bundle, save_torch_bundle

        good = open_bundle(save_torch_bundle(checkpoint, tmp_path, PARAMS))
        arrays = dict(good.weights)
        change(arrays)
        bad = tmp_path / "bad.zip"
        write_bundle(Bundle(arrays, PARAMS, good.experiment, good.patch_px, good.steps), bad)
        cfg.clear()
        cfg.update(yesterday=True)
        with pytest.raises(BundleError, match=r"bad\.zip: .*does not fit"):
            load_torch_bundle(bad)
        assert cfg == {"yesterday": True}

    @requires_torch
    def test_single_numbers_among_the_weights_come_back(self, tmp_path: Path) -> None:
        """[PS-1.5], [PS-4.3]: batch normalisation counts its batches in an array without axes."""
        import torch

        from ptycho_torch.contracts.legacy.workflows import load_torch_bundle, save_torch_bundle
        from ptycho_torch.models.checkpoint import TrainedNetwork
        from ptycho_torch.networks.build import build_network

        experiment = Experiment(model=ModelSettings(width=4, depth=2, normalisation="batch", decoders="separate"))
        network, patterns = build_network(experiment, SIDE), torch.rand(5, SIDE, SIDE)
        probe = torch.ones(1, 1, SIDE, SIDE) + 0j
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.2)
        network(patterns, probe)
        probes, good = np.ones((1, 1, SIDE, SIDE), np.complex64), np.ones((1, SIDE, SIDE), bool)
        trained = TrainedNetwork(network.eval(), experiment, SIDE, probes, (1e6,), good, 3)
        found, _ = load_torch_bundle(save_torch_bundle(trained, tmp_path, PARAMS))
        with torch.inference_mode():
            assert torch.equal(found.generator(patterns, probe), network(patterns, probe))
        assert int(found.generator.state_dict()["body.body.1.1.num_batches_tracked"]) == 1

    @requires_torch
    def test_settings_of_a_giant_network_cost_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """[PS-3.4]: a record that claims gigabytes of weights is refused before they are made."""
        from ptycho_torch.contracts.legacy.workflows import load_torch_bundle
        from ptycho_torch.networks.build import build_network

        places: set[str] = set()

        def spy(*arguments: Any) -> Any:
            network = build_network(*arguments)
            places.update(weight.device.type for weight in network.parameters())
            return network

        monkeypatch.setattr("ptycho_torch.models.checkpoint.build_network", spy)
        members = by_hand()
        giant = Experiment(model=ModelSettings(width=256, depth=6)).to_dict()
        record(experiment=giant, patch_px=256)(members)
        agreed(N=256)(members)
        square = {"probes": np.ones((1, 1, 256, 256), np.complex64), "good": np.ones((1, 256, 256), np.float32)}
        weights("autoencoder", **square)(members)
        with pytest.raises(BundleError, match="does not fit"):
            load_torch_bundle(packed(tmp_path / "giant.zip", members))
        # where arrays have a shape and no memory
        assert places == {"meta"}


class TestPersistenceRegression:
    @requires_torch
    def test_archive_roundtrip(self, checkpoint: Path, tmp_path: Path) -> None:
        """[PS-4.3]: what comes back is what the checkpoint holds, and predicts the same, bit for bit."""
        import torch

        from ptycho_torch.contracts.legacy.workflows import load_torch_bundle, save_torch_bundle
        from ptycho_torch.models.checkpoint import load_network

        path, before = save_torch_bundle(checkpoint, tmp_path, PARAMS), load_network(checkpoint)
        assert len(open_bundle(path).weights) > 10, "the bundle holds no weights"
        found, params = load_torch_bundle(path)
        assert params == PARAMS
        assert (found.experiment, found.patch_px, found.steps) == (before.experiment, SIDE, 7)
        assert found.photons == before.photons == (1e6, 2e6)
        np.testing.assert_array_equal(found.probes, before.probes)
        np.testing.assert_array_equal(found.good, before.good)
        assert found.good.sum() == 2 * SIDE**2 - 3
        patterns, probe = torch.rand(5, SIDE, SIDE), torch.rand(1, 1, SIDE, SIDE) + 0j
        with torch.inference_mode():
            wanted, patches = before.generator(patterns, probe), found.generator(patterns, probe)
        assert wanted.std() > 0.1
        assert torch.equal(wanted, patches)
        again = save_torch_bundle(found, tmp_path / "again.zip", params)
        assert again.read_bytes() == path.read_bytes()

    def test_manifest_validation(self, tmp_path: Path) -> None:
        """[PS-1.2], [PS-3.6]."""
        bundle = open_bundle(packed(tmp_path / "good.zip", by_hand()))
        assert bundle.manifest.get("version") == "2.0-pytorch", "the version was not read"
        snapshot = json.loads((Path(__file__).parent / "archive_manifest_snapshot.json").read_text(encoding="utf-8"))
        assert bundle.manifest == snapshot
        write_bundle(bundle, tmp_path / "written.zip")
        assert pickle.loads(unpacked(tmp_path / "written.zip")["manifest.dill"]) == snapshot
        for version in ("1.0", "2.0", "2.0-tensorflow", "3.0-pytorch", 2.0, None):
            members = by_hand()
            manifest(VERSION | {"version": version})(members)
            with pytest.raises(BundleError, match=r"manifest\.dill is not that of version '2\.0-pytorch'"):
                open_bundle(packed(tmp_path / "other.zip", members))

    def test_params_snapshot_all_fields(self, tmp_path: Path) -> None:
        """[PS-1.3]: every flat parameter of the contract goes into the bundle and comes out of it."""
        experiment = Experiment(
            model=ModelSettings(width=36, amplitude="silu"), training=TrainingSettings(group_size=9)
        )
        trained: Any = SimpleNamespace(experiment=experiment, patch_px=SIDE, photons=(3e5,))
        params = to_legacy_parameters(trained)
        assert set(params) == LEGACY_KEYS, "flat parameters are missing"
        assert {type(value) for value in params.values()} == {int, float, str, bool, type(None)}
        good = open_bundle(packed(tmp_path / "good.zip", by_hand()))
        path = tmp_path / "written.zip"
        write_bundle(Bundle(good.weights, params, good.experiment, SIDE, good.steps), path)
        assert open_bundle(path).params == params
        stored = {name: params[name] for name in ("N", "gridsize", "n_filters_scale", "amp_activation", "nphotons")}
        assert stored == {"N": SIDE, "gridsize": 3, "n_filters_scale": 3, "amp_activation": "swish", "nphotons": 3e5}

    @requires_torch
    def test_cross_backend_archive_compatibility(self, checkpoint: Path, tmp_path: Path) -> None:
        """[PS-1.5], [PS-1.6]: zipfile, pickle and NumPy read a bundle, and NumPy evaluates its network."""
        import torch

        from ptycho_torch.contracts.legacy.workflows import save_torch_bundle
        from ptycho_torch.models.checkpoint import load_network

        members = unpacked(save_torch_bundle(checkpoint, tmp_path, PARAMS))
        assert sorted(members) == NAMES, "members are missing"
        assert pickle.loads(members["manifest.dill"])["version"] == "2.0-pytorch"
        assert pickle.loads(members["diffraction_to_obj/params.dill"])["N"] == SIDE
        network, whole = (arrays_of(members[f"{model}/weights.npz"]) for model in reversed(MODELS))
        rng = np.random.default_rng(4)
        pattern, probe = rng.uniform(0, 2, (SIDE, SIDE)), whole["probes"][1]
        with torch.inference_mode():
            shown = torch.from_numpy(pattern).float()[None], torch.from_numpy(probe)[None]
            found = load_network(checkpoint).generator(*shown)[0].numpy()
        wanted = patch_of(network, pattern, np.sum(np.abs(probe) ** 2, axis=0, dtype=float))
        assert np.abs(wanted - 1).max() > 0.5
        np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())

    @requires_torch
    def test_reconstruction_equals_that_of_the_checkpoint(
        self, checkpoint: Path, small_scan: Scan, tmp_path: Path
    ) -> None:
        """[PS-4.3]: a scan reconstructed from the bundle is the one from the checkpoint."""
        from ptycho_torch.config import InferenceSettings
        from ptycho_torch.contracts.legacy.workflows import load_torch_bundle, save_torch_bundle
        from ptycho_torch.workflows.reconstruction import reconstruct_scan

        path = save_torch_bundle(checkpoint, tmp_path, PARAMS)
        assert path.stat().st_size > 1024, "the bundle is empty"
        inference = InferenceSettings(polish=False)
        network, _ = load_torch_bundle(path)
        ours, theirs = (
            reconstruct_scan(source, small_scan, inference=inference, probe=small_scan.probe, device="cpu").canvas
            for source in (network, checkpoint)
        )
        assert np.abs(theirs.pixels - 1).max() > 0.1
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)
