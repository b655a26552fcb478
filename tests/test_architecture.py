from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEAVES = {"claims", "errors", "files", "progress"}
CLIENT_FILES = {"persistence.product", "persistence.diffraction", "persistence.workflow_directory"}
TORCH_FREE = {"config", "numpy", "scipy"} | LEAVES
# what a folder or file of the package may import beside the standard library and itself; the longest entry counts
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "claims": set(),
    "files": {"errors"},
    "progress": set(),
    "logs": set(),
    "device": {"errors", "torch"},
    "config": {"errors"},
    "physics": {"torch", "jaxtyping", "errors"},
    "networks": {"torch", "jaxtyping", "errors"},
    "losses": {"torch", "jaxtyping", "errors", "physics"},
    "metrics": {"torch", "numpy", "scipy", "torchmetrics", "errors", "physics"},
    "data": TORCH_FREE,
    # the client's formats are described in persistence, which knows of data only what a product and a scan are
    "data.readers": TORCH_FREE | CLIENT_FILES,
    "data.dataset": TORCH_FREE | {"torch"},
    "data.datamodule": TORCH_FREE | {"torch", "lightning"},
    "simulate": {"physics", "data.canvas", "data.scan", "config", "errors", "numpy", "scipy", "torch"},
    "refine": {"torch", "numpy", "physics", "losses", "metrics", "config", "data.scan", "data.canvas"} | LEAVES,
    "training": {"torch", "numpy", "jaxtyping", "lightning", "config", "data", "networks", "physics", "losses"}
    | {"metrics", "refine", "device"}
    | LEAVES,
    "persistence": {"numpy", "h5py", "config", "data.scan", "data.canvas", "data.product"} | LEAVES,
    "persistence.checkpoint": {"torch", "numpy", "lightning", "config", "networks", "training"} | LEAVES,
    "persistence.bundle": {"torch", "numpy", "config", "networks", "training"} | LEAVES,
    "reconstruct": {"torch", "numpy", "matplotlib", "config", "data", "metrics", "networks", "physics", "refine"}
    | {"persistence"}
    | LEAVES,
    "workflows": {"torch", "numpy", "lightning", "config", "data", "device", "losses", "metrics", "networks"}
    | {"persistence", "physics", "reconstruct", "refine", "simulate", "training"}
    | LEAVES,
}
# entrances: they may import everything and nothing imports them
DOORS = ("cli", "api", "train", "inference", "config_params", "model", "lightning_utils", "__main__", "__init__")


def imported(path: Path) -> set[str]:
    """Everything a file imports, at its top or inside functions, the package's own without their first part."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module else set()
    return {name.removeprefix("ptycho_torch.") for name in found if name.split(".")[0] not in sys.stdlib_module_names}


def modules(package: str) -> dict[str, Path]:
    """The modules of a package by dotted name without the package's own."""
    folder = ROOT / package
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(folder.rglob("*.py"))
    }


def lies_in(name: str, parts: set[str] | tuple[str, ...]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


MODULES = modules("ptycho_torch")


@pytest.mark.parametrize("name", [name for name in MODULES if not lies_in(name, DOORS)])
def test_a_module_imports_only_what_lies_below_it(name: str) -> None:
    rules = [rule for rule in ALLOWED if lies_in(name, (rule,))]
    assert rules, f"{name} has no place in the table"
    rule = max(rules, key=len)
    own = rule.split(".")[0]
    above = {wanted for wanted in imported(MODULES[name]) if not lies_in(wanted, ALLOWED[rule] | {own})}
    assert not above


@pytest.mark.parametrize("name", [name for name in MODULES if lies_in(name, ("data",))])
def test_scans_and_readers_work_without_torch(name: str) -> None:
    heavy = {"data.dataset", "data.datamodule"}
    if name not in heavy:
        assert not any(lies_in(wanted, heavy | {"torch", "lightning"}) for wanted in imported(MODULES[name]))


@pytest.mark.parametrize("name", [name for name in MODULES if lies_in(name, ("persistence",))])
def test_archives_are_read_without_torch(name: str) -> None:
    heavy = {"persistence.checkpoint", "persistence.bundle"}
    if name not in heavy:
        assert not any(lies_in(wanted, heavy | {"torch", "lightning"}) for wanted in imported(MODULES[name]))


@pytest.mark.parametrize("name", MODULES)
def test_nobody_imports_an_entrance(name: str) -> None:
    if not lies_in(name, DOORS):
        assert not any(lies_in(wanted, DOORS) for wanted in imported(MODULES[name]))


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "redgreen").rglob("*.py")) + sorted((ROOT / "tests" / "reference").rglob("*.py")),
    ids=lambda path: path.name,
)
def test_harness_and_reference_know_nothing_of_the_package(path: Path) -> None:
    assert not any(lies_in(wanted, ("torch", "lightning")) for wanted in imported(path))
    assert "ptycho_torch" not in path.read_text(encoding="utf-8").replace("PTYCHO_TORCH", "")


def test_the_package_knows_nothing_of_the_harness() -> None:
    assert not any(lies_in(wanted, ("redgreen",)) for path in MODULES.values() for wanted in imported(path))


def test_no_test_folder_hides_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def readers_of_the_flat_parameters(source: str) -> list[int]:
    """Lines that touch `config.legacy.cfg`, or copy it, other than to hand it to the function that writes it."""
    tree = ast.parse(source)
    handed_over = {
        id(call.args[0])
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and call.args
        and (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", ""))
        == "update_legacy_dict"
    }
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "ptycho_torch.config.legacy":
            own |= {alias.asname or alias.name for alias in node.names if alias.name in ("cfg", "snapshot")}
    return [
        node.lineno
        for node in ast.walk(tree)
        if id(node) not in handed_over
        and (
            (isinstance(node, ast.Attribute) and ast.unparse(node).endswith(("legacy.cfg", "legacy.snapshot")))
            or (isinstance(node, ast.Name) and node.id in own)
        )
    ]


# this holds [API-4.55]
@pytest.mark.parametrize("name", [name for name in MODULES if name != "config.legacy"])
def test_the_flat_parameters_are_written_and_never_read(name: str) -> None:
    assert readers_of_the_flat_parameters(MODULES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("from ptycho_torch.config import legacy\nlegacy.update_legacy_dict(legacy.cfg, section)", []),
        ("from ptycho_torch.config.legacy import cfg, update_legacy_dict\nupdate_legacy_dict(cfg, section)", []),
        ("from ptycho_torch.config import legacy\nsize = legacy.cfg['N']", [2]),
        ("import ptycho_torch.config.legacy\nsize = ptycho_torch.config.legacy.cfg.get('N')", [2]),
        ("from ptycho_torch.config.legacy import cfg as p\nsize = p['N']", [2]),
        ("from ptycho_torch.config import legacy\nold = legacy.snapshot()", [2]),
        ("from ptycho_torch.config.legacy import snapshot\nold = snapshot()", [2]),
    ],
)
def test_a_reader_of_the_flat_parameters_would_be_found(source: str, lines: list[int]) -> None:
    assert readers_of_the_flat_parameters(source) == lines
