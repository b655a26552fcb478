"""Thousands of hostile inputs, given to the command line one after the other.

Each is a valid file that was changed at random, or an option with a hostile value: NPZ, HDF5, checkpoints, bundles,
YAML, INI, options and names. A command must end with a clear line or a result; anything else is printed with its
number, which repeats it.

    python tests/benchmarks/bad_inputs.py [COUNT [FIRST]]
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import mutations
from hostile_runs import list_files, watch

from ptycho_torch.cli.config_file import SECTIONS
from ptycho_torch.contracts.ptychodus.settings import MODEL_NAME, write_folder
from ptycho_torch.formats import read_npz
from ptycho_torch.runtime.threads import set_threads
from ptycho_torch.workflows.training import train_network

LONGEST_S, MOST_BYTES = 5.0, 2**31
MACHINE = ("--device=cpu", "--quiet")
SIMULATION = ("--object_px=48", "--patch_px=32", "--probe=gaussian", "--probe_diameter_px=8", "--step_px=6")
NETWORK = ("--width=4", "--depth=1", "--group_size=2", "--batch_size=2", "--bootstrap_epochs=0", "--schedule=constant")
NAMES = ("a" * 300, "b/" * 1000, "\udcff\udcfe", "c\x1b[2J\x07", "\n" * 20, "d" * 6000, "é" * 200, "../" * 30 + "e")
KINDS = {
    "npz": ("scan.npz", mutations.change_npz),
    "npz bytes": ("scan.npz", mutations.change_bytes),
    "hdf5": ("scan.cxi", mutations.change_hdf5),
    "hdf5 bytes": ("scan.cxi", mutations.change_bytes),
    "product": ("client/product.h5", mutations.change_hdf5),
    "product bytes": ("client/product.h5", mutations.change_bytes),
    "checkpoint": ("network/checkpoints/last.ckpt", mutations.change_checkpoint),
    "resumed checkpoint": ("network/checkpoints/last.ckpt", mutations.change_checkpoint),
    "checkpoint members": ("network/checkpoints/last.ckpt", mutations.change_zip),
    "checkpoint bytes": ("network/checkpoints/last.ckpt", mutations.change_bytes),
    "bundle": ("network/wts.h5.zip", mutations.change_zip),
    "bundle bytes": ("network/wts.h5.zip", mutations.change_bytes),
    "yaml": ("settings.yaml", mutations.change_text),
    "ini": ("client/settings.ini", mutations.change_text),
    "option": ("scan.npz", None),
    "name": ("scan.npz", None),
}


def prepare(folder: Path) -> None:
    """Write the valid files."""
    scan, network, client = folder / "scan.npz", folder / "network", folder / "client"
    commands = (
        ("simulate", f"--output={scan}", *SIMULATION, "--quiet"),
        ("convert", str(scan), f"--output={folder / 'scan.cxi'}", "--quiet"),
        ("train", f"--data={scan}", f"--output_dir={network}", "--steps=4", "--checkpoint_steps=1", *NETWORK, *MACHINE),
    )
    # in a process of their own, since one that has computed gradients must not fork
    for outcome in watch(commands, folder):
        assert outcome.code == 0, outcome
    write_folder(read_npz(scan), client)
    shutil.copy(network / "checkpoints" / "last.ckpt", client / MODEL_NAME)
    lines = [f"{name}:\n" + "".join(f"  {key}: {value}\n" for key, value in SECTIONS[name]().to_dict().items())
             for name in ("data", "refine", "training")]  # fmt: skip
    (folder / "settings.yaml").write_text("".join(lines).replace("None", "null"))


def make_words(kind: str, number: int, files: Path, place: Path) -> tuple[str, ...]:
    """Write the input with a number to a place, and make the command that reads it."""
    choice = random.Random(number)
    source, change = KINDS[kind]
    path = place / Path(source).name
    scan, out = f"--data={files / 'scan.npz'}", f"--output_dir={place / 'out'}"
    if change is not None:
        if kind in ("ini", "resumed checkpoint"):
            shutil.copytree(files / Path(source).parts[0], place / "whole")
            path = place / "whole" / Path(*Path(source).parts[1:])
        mutations.write_changed(files / source, path, change, number)
    refine = ("refine", out, "--epochs=1", "--method=least_squares", *MACHINE)
    train = ("train", out, "--steps=1", *NETWORK, *MACHINE)
    if kind in ("npz", "npz bytes", "hdf5", "hdf5 bytes"):
        convert = ("convert", str(path), f"--output={place / 'new.npz'}", "--quiet")
        doctor = ("doctor", str(path), out, "--quiet")
        return choice.choice((convert, convert, (*refine, f"--data={path}"), doctor, (*train, f"--data={path}")))
    if kind == "option":
        section = choice.choice(("data", "refine", "training", "trainer", "model"))
        name = choice.choice(sorted(SECTIONS[section].find_types()))
        command = refine if section in ("data", "refine") else train
        return (*command, scan, f"--{name}={choice.choice(mutations.VALUES)}")
    if kind == "resumed checkpoint":
        # with an older one, that would be used
        for other in path.parent.iterdir():
            if other != path:
                other.unlink()
    option = "--checkpoint" if kind.startswith("checkpoint") else "--model_path"
    words = {
        "resumed checkpoint": ("train", f"--output_dir={place / 'whole'}", "--steps=6", "--resume", *NETWORK, *MACHINE),
        "yaml": (*refine[:2], f"--config={path}", "--epochs=1", *MACHINE),
        "product": ("evaluate", f"--result={path}", out, *MACHINE),
        "product bytes": ("evaluate", f"--result={path}", out, *MACHINE),
    }
    if kind == "ini":
        return ("infer", f"--data={place / 'whole'}", out, *MACHINE)
    if kind == "name":
        first, second = choice.choice(NAMES), choice.choice(NAMES)
        return ("refine", f"--data={place / first}", f"--output_dir={place / second}", *MACHINE)
    return (*words.get(kind, ("infer", f"{option}={path}", out, *MACHINE)), scan)


def main(count: int, first: int) -> None:
    """Give all inputs, then print what became of them by kind."""
    ends, worst, problems, peak = defaultdict[str, Counter[str]](Counter), dict[str, float](), list[str](), 0
    with tempfile.TemporaryDirectory() as name:
        files, sandbox = Path(name) / "files", Path(name) / "sandbox"
        files.mkdir()
        sandbox.mkdir()
        prepare(files)
        before = list_files(files)
        place = sandbox / "input"
        kinds = [list(KINDS)[number % len(KINDS)] for number in range(first, first + count)]

        def make_cases() -> Iterator[tuple[str, ...]]:
            for offset, kind in enumerate(kinds):
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                yield make_words(kind, first + offset, files, place)

        for offset, outcome in enumerate(watch(make_cases(), sandbox)):
            kind, number = kinds[offset], first + offset
            ends[kind]["refused" if outcome.code == 2 else "accepted" if not outcome.problem else "wrong"] += 1
            worst[kind], peak = max(worst.get(kind, 0.0), outcome.seconds), max(peak, outcome.peak_bytes)
            problem = outcome.problem or (f"{outcome.seconds:.1f} s" if outcome.seconds > LONGEST_S else "")
            outside = [entry.name for entry in sandbox.iterdir() if entry != place]
            if outside or list_files(files) != before:
                problem = f"files outside of the output: {outside}"
            if number % 100 == 99:
                print(f"{offset + 1} inputs, {len(problems)} problems", flush=True)
            if problem:
                problems.append(f"{number} {kind}: {problem[-600:]}")
                print(problems[-1], outcome.said[-300:], flush=True)
    for kind, found in ends.items():
        print(f"{kind}: {dict(found)}, longest {worst[kind]:.1f} s")
    print(
        f"{count} inputs, {len(problems)} problems, peak memory {peak / 2**30:.2f} GiB (limit {MOST_BYTES / 2**30:.0f})"
    )


if __name__ == "__main__":
    set_threads(1)
    assert train_network is not None  # loads all that a run needs before processes are forked
    numbers = [int(word) for word in sys.argv[1:3]]
    main(*(numbers + [5000, 0][len(numbers) :]))
