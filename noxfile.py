"""Sessions of the project, run in the environment that `make` builds unless their docstring names another."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]

# sessions without their own environment use the one that nox runs in, activated or not
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
PTYCHODUS_SELECTORS = ("client.released_fields", "client.acceptance", "client.acceptance_defaults")
BENCHMARKS = (
    "startup",
    "configurations",
    "network_speed",
    "network_harm",
    "refine_known_probe",
    "low_dose",
    "siemens_star",
    "preflight",
)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy in strict mode."""
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the default test suite and check array shapes; arguments go to pytest."""
    pytest = ("python", "-m", "pytest", "-m", "not slow and not ptychodus")
    shapes = "--jaxtyping-packages=ptycho_torch.physics,ptycho_torch.networks,beartype.beartype"
    if session.posargs:
        session.run(*pytest, shapes, *session.posargs)
        return
    session.run(*pytest, "--numprocesses=2", "tests/redgreen")
    # one file, one process: what its tests share is made once
    two = ("--numprocesses=2", "--dist=loadfile")
    session.run(*pytest, shapes, *two, "--ignore=tests/redgreen", "tests", env={"OMP_NUM_THREADS": "1"})


@nox.session
def runners(session: nox.Session) -> None:
    """Run every console script briefly, in a process of its own, with every configuration; arguments go to pytest."""
    session.run(
        "python", "-m", "pytest", "-m", "slow", "tests/test_runner_integration.py", "tests/run", *session.posargs
    )


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the default test suite and print its coverage of the package; arguments go to pytest."""
    arguments = ["--cov", "--cov-report=term", *session.posargs]
    session.run("python", "-m", "pytest", "-m", "not slow and not ptychodus", *arguments)


@nox.session
def changelog(session: nox.Session) -> None:
    """Show the changelog of the next release, from the fragments in changes/."""
    session.run("towncrier", "build", "--draft", "--version", PROJECT["version"])


@nox.session
def demo(session: nox.Session) -> None:
    """Simulate, train, save, load, infer, polish; arguments go to `ptycho-torch demo`."""
    session.run("python", "-m", "ptycho_torch", "demo", "--overwrite", *session.posargs)


def _install(session: nox.Session, marker: str, *packages: str, constraints: tuple[str, ...]) -> None:
    """Install packages into a session's own environment, once or after these or their constraints changed."""
    wanted = [*packages, *(Path(name).read_text() for name in constraints)]
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    complete = Path(session.virtualenv.location) / marker
    if complete.is_file() and complete.read_text() == digest:
        return
    limits = [part for name in constraints for part in ("--constraint", name)]
    session.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *limits, *packages)
    complete.write_text(digest)


@nox.session(venv_backend="venv", reuse_venv=True)
def ptychodus(session: nox.Session) -> None:
    """Train and reconstruct through Ptychodus, in its own environment.

    `-- figures` prints the figures of docs/benchmarks.md and draws the picture, `-- record` records the tests with
    redgreen; other arguments go to pytest.
    """
    index = ["--index-url", os.environ["TORCH_INDEX"]] if os.environ.get("TORCH_INDEX") else []
    pinned = ("constraints.txt", "constraints-ptychodus.txt")
    _install(session, "torch-complete", *index, "torch", constraints=("constraints.txt",))
    tools = ("pytest", "pytest-timeout", "beartype", "filelock", "pyyaml")
    _install(session, "complete", "--editable", ".", "ptychodus", *tools, constraints=pinned)
    if session.posargs == ["figures"]:
        session.run("python", "tests/benchmarks/client_defaults.py")
    elif session.posargs == ["record"]:
        for selector in PTYCHODUS_SELECTORS:
            session.run("python", "-m", "redgreen", "guard", selector, interrupt_timeout=30, terminate_timeout=15)
    else:
        chosen = session.posargs or ["-m", "ptychodus"]
        session.run("python", "-m", "pytest", "-p", "no:cacheprovider", "tests/ptychodus", *chosen)


@nox.session(venv_backend="venv", reuse_venv=True)
def torch_free(session: nox.Session) -> None:
    """Run what must work without torch, in an environment without it; arguments go to pytest."""
    needed = ("numpy", "scipy", "h5py", "tqdm", "matplotlib", "safetensors")
    tools = ("pytest", "pytest-timeout", "beartype", "pyyaml", "filelock")
    _install(session, "complete", *needed, *tools, constraints=("constraints.txt",))
    _install(session, "package-complete", "--no-deps", "--editable", ".", constraints=("constraints.txt",))
    session.run("python", "tests/support/torch_free.py", *session.posargs)


@nox.session(venv_backend="venv", reuse_venv=True)
def site(session: nox.Session) -> None:
    """Build the documentation site in build/site/html and execute the tutorials; arguments go to make_site.py."""
    index = ["--index-url", os.environ["TORCH_INDEX"]] if os.environ.get("TORCH_INDEX") else []
    _install(session, "torch-complete", *index, "torch", constraints=("constraints.txt",))
    _install(session, "complete", "--editable", ".[docs]", constraints=("constraints.txt",))
    session.run("python", "docs/site/make_site.py", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Draw the pictures of docs/troubleshooting.md and docs/gallery.md anew."""
    session.run("python", "docs/site/symptoms.py")
    session.run("python", "docs/site/gallery.py")


@nox.session(venv_backend="venv", reuse_venv=True)
def build(session: nox.Session) -> None:
    """Build sdist and wheel into dist/ and check their contents."""
    _install(session, "complete", *PROJECT["optional-dependencies"]["release"], constraints=("constraints.txt",))
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", silent=True)
    session.run("python", "-m", "twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    [sdist] = Path("dist").glob("*.tar.gz")
    _check_sdist(session, sdist)


@nox.session(
    venv_backend="venv", reuse_venv=True, python=["3.11", "3.12", "3.13"], download_python="never", requires=["build"]
)
def package(session: nox.Session) -> None:
    """Use the wheel in an environment without other packages; missing interpreters are skipped."""
    index = ["--index-url", os.environ["TORCH_INDEX"]] if os.environ.get("TORCH_INDEX") else []
    [wheel] = Path("dist").resolve().glob("*.whl")
    _install(session, "torch-complete", *index, "torch", constraints=("constraints.txt",))
    install = ("python", "-m", "pip", "install", "--quiet", "--constraint", str(Path("constraints.txt").resolve()))
    session.run(*install, str(wheel))
    session.run(*install, "--force-reinstall", "--no-deps", str(wheel))
    session.chdir(session.create_tmp())  # outside the checkout, so that the wheel is imported
    session.run("python", "-c", "import ptycho_torch; assert 'site-packages' in ptycho_torch.__file__")
    session.run("ptycho-torch", "--help", silent=True)
    session.run(*install, f"{wheel}[run]")
    session.run("ptycho-experiment", "experiment=lines", "model=small", "--cfg", "job", silent=True)
    session.run("ptycho-torch", "simulate", "--output", "scan.npz", "--object_px", "128", "--overwrite", "--quiet")
    refine = ("refine", "--data", "scan.npz", "--output_dir", "refined", "--epochs", "3", "--overwrite", "--quiet")
    session.run("ptycho-torch", *refine)


def _check_sdist(session: nox.Session, archive: Path) -> None:
    """Fail unless the sdist contains the files that README links to and tests need, and no evidence folders."""
    with tarfile.open(archive) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    links = re.findall(r"\]\(([^)#:]+)\)", Path("README.md").read_text(encoding="utf-8"))
    missing = sorted({*links, "tests/conftest.py", "constraints.txt"} - names)
    evidence = sorted(name for name in names if "/reports/" in name)
    if missing or evidence:
        session.error(f"{archive.name} lacks {missing}, contains evidence {evidence[:3]}")


@nox.session
def bench(session: nox.Session) -> None:
    """Print the figures of docs/benchmarks.md; arguments select benchmarks."""
    for name in session.posargs or BENCHMARKS:
        if name in ("siemens_star", "doctor") and "PTYCHO_TORCH_DATA" not in os.environ:
            session.log(f"{name} is skipped: PTYCHO_TORCH_DATA is not set to the folder of measured data")
            continue
        session.run("python", f"tests/benchmarks/{name}.py", env={"PYTHONPATH": "tests/support"})


@nox.session
def ranks(session: nox.Session) -> None:
    """Train, predict and solve with several processes, and lose some of them; arguments go to pytest."""
    hardware = "tests/integration/test_hardware.py"
    session.run("python", "-m", "pytest", "-m", "slow", "tests/torch/ranks", hardware, *session.posargs)


@nox.session
def integration_suite(session: nox.Session) -> None:
    """Run tests/integration whole, the slow ones included; arguments go to pytest."""
    session.run("python", "-m", "pytest", "--durations=0", "tests/integration", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the slow tests of the package, beside the default suite; arguments go to pytest."""
    session.run(
        "python", "-m", "pytest", "-m", "slow and not ptychodus", "--ignore=tests/redgreen", "tests", *session.posargs
    )


@nox.session
def gpu(session: nox.Session) -> None:
    """Run the hardware tests where there is a GPU, print their figures and keep them in hardware_figures.json."""
    seen = session.run("python", "-c", "import torch; print(torch.cuda.is_available())", silent=True)
    if "True" not in str(seen):
        session.skip("torch finds no GPU on this machine")
    figures = {"PTYCHO_TORCH_GPU": "1", "PTYCHO_TORCH_FIGURES": str(Path("hardware_figures.json").resolve())}
    session.run("python", "-m", "pytest", "-s", "tests/integration/test_hardware.py", *session.posargs, env=figures)


@nox.session
def proofs(session: nox.Session) -> None:
    """Run redgreen's slow tests, most of which replay changes in clones; arguments go to pytest."""
    chosen = ("-m", "slow", "--ignore=tests/redgreen/test_pytest_versions.py", "tests/redgreen")
    session.run("python", "-m", "pytest", "--numprocesses=2", *chosen, *session.posargs)


@nox.session
def pytest_versions(session: nox.Session) -> None:
    """Record pairs under each major version of pytest that redgreen supports; the test makes the environments."""
    session.run("python", "-m", "pytest", "-m", "slow", "tests/redgreen/test_pytest_versions.py", *session.posargs)


def redgreen(session: nox.Session, *words: str) -> None:
    """Call redgreen; it gets more time than nox's default to end its tests and seal the report."""
    session.run(sys.executable, "-m", "redgreen", *words, external=True, interrupt_timeout=30, terminate_timeout=15)


@nox.session
def red(session: nox.Session) -> None:
    """Record a RED: `nox -s red -- SELECTOR`; by default, of every waiting target of the active phases."""
    redgreen(session, "run", "red", *session.posargs)


@nox.session
def green(session: nox.Session) -> None:
    """Record a GREEN: `nox -s green -- SELECTOR`; by default, of every red target and of the guards."""
    redgreen(session, "run", "green", *session.posargs)


@nox.session
def integration(session: nox.Session) -> None:
    """Train, save, load and infer under redgreen, which audits the artifacts."""
    redgreen(session, "guard", "integration.cycle", *session.posargs)
    redgreen(session, "guard", "integration.torch_module", *session.posargs)


@nox.session
def sabotage(session: nox.Session) -> None:
    """Prove the integration test: it must fail with each of twenty faults; arguments select faults by their names."""
    session.run("python", "tests/sabotage/run.py", *session.posargs, env={"PYTHONPATH": "."})


@nox.session
def release_check(session: nox.Session) -> None:
    """Check that formats change only with their versions, that every release has its files, and that they open."""
    files = ("tests/test_releases.py", "tests/integration/test_backward_compatibility.py")
    session.run("python", "-m", "pytest", *files, *session.posargs)


@nox.session
def old_releases(session: nox.Session) -> None:
    """Install each release in an environment of its own, and compare its outputs; arguments go to repeat.py."""
    paths = os.pathsep.join(["tests/support", "."])
    session.run("python", "tests/fixtures/releases/repeat.py", *session.posargs, env={"PYTHONPATH": paths})


@nox.session
def evidence_site(session: nox.Session) -> None:
    """Write the static site of the recorded runs to .redgreen/site/; arguments go to `redgreen site`."""
    redgreen(session, "site", *session.posargs)


@nox.session
def evidence(session: nox.Session) -> None:
    """Check registry, sealed reports, ledger and generated documents."""
    redgreen(session, "lint")
    redgreen(session, "verify")
    redgreen(session, "ledger", "--check")
    redgreen(session, "docs", "--check")
