from __future__ import annotations

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# the package from the bottom up: a line may import what stands above it, and the folders of its own line
LAYERS = (
    ("errors",),
    ("storage",),
    ("pictures",),
    ("config",),
    ("migrations",),
    ("physics",),
    ("networks",),
    ("data",),
    ("formats",),
    ("runtime",),
    ("solve", "simulate"),
    ("evaluate",),
    ("models", "doctor"),
    ("training", "drift"),
    ("workflows",),
    ("export",),
    ("registry",),
    ("contracts.ptychodus",),
    ("contracts.legacy",),
    ("preflight",),
    ("launch",),
    ("jobs",),
    ("cli",),
    ("run",),
)
# import paths that other programs know; they only re-export
CLIENT_PATHS = ("api", "config.legacy", "config_params", "lightning_utils", "model", "train", "inference")
# what each folder may import beside this package and the standard library
LIBRARIES: dict[str, set[str]] = {
    "storage": {"numpy", "h5py", "hdf5plugin", "filelock"},
    "pictures": {"numpy", "matplotlib", "PIL"},
    "physics": {"torch", "jaxtyping"},
    "networks": {"torch", "jaxtyping"},
    "data": {"numpy", "scipy"},
    "formats": {"numpy", "scipy", "PIL", "datasets"},
    "runtime": {"torch", "numpy", "lightning", "filelock", "mlflow", "packaging", "sqlalchemy", "wandb"},
    "solve": {"torch", "numpy"},
    "simulate": {"torch", "numpy", "scipy"},
    "evaluate": {"torch", "numpy", "scipy", "matplotlib"},
    "models": {"torch", "numpy", "scipy"},
    "doctor": {"torch", "numpy", "scipy", "matplotlib"},
    "drift": {"torch", "numpy", "scipy", "matplotlib"},
    "training": {"torch", "numpy", "jaxtyping", "lightning"},
    "workflows": {"numpy", "torch"},
    "export": {"torch", "numpy", "safetensors"},
    "registry": {"mlflow", "numpy", "scipy", "torch"},
    "contracts": {"torch", "numpy"},
    "preflight": {"torch", "numpy"},
    "launch": {"submitit", "modal"},
    "cli": {"argcomplete", "numpy", "tqdm", "yaml"},
    "run": {"hydra", "omegaconf", "optuna", "sqlalchemy", "yaml"},
}
TORCH_FREE = (
    "errors",
    "storage",
    "pictures",
    "config",
    "data",
    "formats",
    "models.archive",
    "models.record",
    "migrations",
)


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


def layer(name: str) -> int:
    """How high a module stands; files at the top of the package stand above every folder."""
    return next((height for height, folders in enumerate(LAYERS) if lies_in(name, folders)), len(LAYERS))


def folder(name: str) -> str:
    """The folder that a module belongs to: the two contracts count as folders of their own."""
    return next((own for folders in LAYERS for own in folders if lies_in(name, (own,))), name)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_stands_below_it(name: str) -> None:
    if lies_in(name, CLIENT_PATHS) or name == "__init__":
        return
    own = [wanted for wanted in imported(MODULES[name]) if lies_in(wanted, tuple(MODULES))]
    assert not [wanted for wanted in own if layer(wanted) >= layer(name) and folder(wanted) != folder(name)]


@pytest.mark.parametrize("name", MODULES)
def test_a_folder_uses_only_its_libraries(name: str) -> None:
    own = name.split(".")[0]
    used = {wanted.split(".")[0] for wanted in imported(MODULES[name])} - {module.split(".")[0] for module in MODULES}
    assert not used - LIBRARIES.get(own, set()) - {"ptycho_torch"}


def test_modules_import_each_other_in_no_circle() -> None:
    wanted = {
        name: {
            max((module for module in MODULES if lies_in(target, (module,))), key=len, default="")
            for target in imported(path)
        }
        - {"", name}
        for name, path in MODULES.items()
        if name != "__init__"
    }
    TopologicalSorter(wanted).prepare()  # raises CycleError with the circle


@pytest.mark.parametrize("name", [name for name in MODULES if lies_in(name, TORCH_FREE)])
def test_torch_stays_out_of_what_works_without_it(name: str) -> None:
    heavy = ("torch", "lightning", "jaxtyping", "physics", "networks", "solve", "simulate", "training")
    assert not any(lies_in(wanted, heavy) for wanted in imported(MODULES[name]))


@pytest.mark.parametrize("name", [name for name in MODULES if lies_in(name, CLIENT_PATHS)])
def test_a_clients_import_path_only_re_exports(name: str) -> None:
    for statement in ast.parse(MODULES[name].read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.With):
            assert all(isinstance(inner, ast.ImportFrom) for inner in statement.body)
        else:
            assert isinstance(statement, ast.Import | ast.ImportFrom | ast.Expr | ast.If)


@pytest.mark.parametrize("name", MODULES)
def test_nobody_imports_a_clients_import_path(name: str) -> None:
    if not lies_in(name, CLIENT_PATHS):
        assert not any(lies_in(wanted, CLIENT_PATHS) for wanted in imported(MODULES[name]))


@pytest.mark.parametrize("name", MODULES)
def test_fourier_transforms_stand_in_physics_alone(name: str) -> None:
    transforms = {"fft", "ifft", "fft2", "ifft2", "fftn", "ifftn", "rfft2", "irfft2"}
    nodes = list(ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("fft")}
    used |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert lies_in(name, ("physics",)) or not used & transforms


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


FLAT_PARAMETERS = ("ptycho_torch.contracts.legacy.parameters", "ptycho_torch.config.legacy")


def readers_of_the_flat_parameters(source: str) -> list[int]:
    """Lines that touch the flat parameters, or copy it, other than to hand it to the function that writes it."""
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
        if isinstance(node, ast.ImportFrom) and node.module in FLAT_PARAMETERS:
            own |= {alias.asname or alias.name for alias in node.names if alias.name in ("cfg", "snapshot")}
    return [
        node.lineno
        for node in ast.walk(tree)
        if id(node) not in handed_over
        and (
            (
                isinstance(node, ast.Attribute)
                and ast.unparse(node).endswith(
                    ("legacy.cfg", "legacy.snapshot", "parameters.cfg", "parameters.snapshot")
                )
            )
            or (isinstance(node, ast.Name) and node.id in own)
        )
    ]


# this holds [API-4.55]
@pytest.mark.parametrize(
    "name", [name for name in MODULES if not lies_in(name, ("config.legacy", "contracts.legacy.parameters"))]
)
def test_the_flat_parameters_are_written_and_never_read(name: str) -> None:
    assert readers_of_the_flat_parameters(MODULES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("from ptycho_torch.config import legacy\nlegacy.update_legacy_dict(legacy.cfg, section)", []),
        ("from ptycho_torch.config.legacy import cfg, update_legacy_dict\nupdate_legacy_dict(cfg, section)", []),
        ("from ptycho_torch.config import legacy\nsize = legacy.cfg['N']", [2]),
        ("import ptycho_torch.config.legacy\nsize = ptycho_torch.config.legacy.cfg.get('N')", [2]),
        ("from ptycho_torch.contracts.legacy.parameters import cfg as p\nsize = p['N']", [2]),
        ("from ptycho_torch.config import legacy\nold = legacy.snapshot()", [2]),
        ("from ptycho_torch.contracts.legacy.parameters import snapshot\nold = snapshot()", [2]),
    ],
)
def test_a_reader_of_the_flat_parameters_would_be_found(source: str, lines: list[int]) -> None:
    assert readers_of_the_flat_parameters(source) == lines
