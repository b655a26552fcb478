"""Cut a checkpoint, a bundle and a product of Ptychodus at many places, flip single bits, and read them.

Each damaged file is given to the command line. It must be refused in one line, or its content must be that of the whole
file: a bit that nothing depends on, such as the time in a zip archive, may be flipped. The checkpoint is also resumed
from, in a folder with an older whole one, which must be used and named.

    python tests/benchmarks/cut_files.py [OFFSETS]
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from hostile_runs import call

from ptycho_torch.contracts.ptychodus.settings import MODEL_NAME
from ptycho_torch.errors import PtychoError
from ptycho_torch.formats import read_npz
from ptycho_torch.formats.ptychodus_folder import write_workflow_directory
from ptycho_torch.formats.ptychodus_product import PRODUCT_NAME, read_product
from ptycho_torch.models.archive import open_bundle
from ptycho_torch.models.checkpoint import read_checkpoint
from ptycho_torch.runtime.threads import set_threads

MACHINE = ("--device=cpu", "--quiet")
SIMULATION = ("--object_px=64", "--patch_px=32", "--probe=gaussian", "--probe_diameter_px=8", "--step_px=6")
NETWORK = ("--width=4", "--depth=1", "--group_size=4", "--batch_size=2", "--bootstrap_epochs=0", "--schedule=constant")
RESUMED = 20


def flatten(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """All values inside of a content, by their places."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from flatten(part, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from flatten(part, f"{name}/{number}")
    elif isinstance(value, torch.Tensor | np.ndarray):
        array = np.asarray(value)
        yield name, (array.shape, array.dtype.str, array.tobytes())
    else:
        yield name, repr(value)


def damage(content: bytes, count: int, choice: random.Random) -> Iterator[tuple[str, bytes]]:
    """Cut at evenly spaced offsets, then flip a random bit each."""
    for offset in np.linspace(0, len(content) - 1, count).astype(int).tolist():
        yield "cut", content[:offset]
    for _ in range(count):
        place = choice.randrange(len(content))
        yield "flip", content[:place] + bytes([content[place] ^ 1 << choice.randrange(8)]) + content[place + 1 :]


def try_file(
    path: Path, read: Callable[[Path], object], words: tuple[str, ...], count: int, choice: random.Random
) -> Counter[str]:
    """Damage a file in place, and count what becomes of it."""
    whole = path.read_bytes()
    wanted, found = dict(flatten(read(path))), Counter[str]()
    for kind, content in damage(whole, count, choice):
        path.write_bytes(content)
        try:
            same = dict(flatten(read(path))) == wanted
            end = "without effect" if same else "ACCEPTED"
        except PtychoError:
            outcome = call(words)
            end = (
                "refused" if outcome.code == 2 and not outcome.problem else f"WRONG: {outcome.problem or outcome.code}"
            )
        except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
            end = f"RAISED {type(error).__name__}"
        found[f"{kind} {end}"] += 1
    path.write_bytes(whole)
    return found


def resume_damaged(data: str, folder: Path, count: int, choice: random.Random) -> Counter[str]:
    """Damage the last checkpoint of a training that is then resumed."""
    found = Counter[str]()
    changes = list(damage((folder / "checkpoints" / "last.ckpt").read_bytes(), 10 * count, choice))
    for number, (kind, content) in enumerate(choice.sample(changes, count)):
        place = folder.with_name(f"resumed-{number}")
        shutil.copytree(folder, place)
        last = place / "checkpoints" / "last.ckpt"
        last.unlink()
        last.write_bytes(content)
        try:
            dict(flatten(read_checkpoint(last)))
            readable = True
        except PtychoError:
            readable = False
        outcome = call(("train", data, f"--output_dir={place}", "--steps=8", "--resume", *NETWORK, *MACHINE))
        named = f"goes on from {place / 'checkpoints' / 'previous.ckpt'}" in outcome.said
        end = "the older one used and named" if named else "the same one used" if readable else "WRONG"
        found[f"{kind}: {end if outcome.code == 0 else outcome.said + outcome.problem}"] += 1
        shutil.rmtree(place)
    return found


def open_all(path: Path) -> dict[str, object]:
    """The content of a bundle."""
    bundle = open_bundle(path)
    parts = {name: getattr(bundle, name) for name in ("weights", "params", "patch_px", "steps")}
    return {**parts, "settings": bundle.experiment.to_dict()}


def main(count: int) -> None:
    """Prepare the files, damage them, print what became of them."""
    choice = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan, network, client = folder / "scan.npz", folder / "network", folder / "client"
        data = f"--data={scan}"
        training = ("train", data, f"--output_dir={network}", "--steps=6", "--checkpoint_steps=1", *NETWORK, *MACHINE)
        for words in (("simulate", f"--output={scan}", *SIMULATION, "--quiet"), training):
            assert call(words).code == 0
        write_workflow_directory(read_npz(scan), client)
        shutil.copy(network / "checkpoints" / "last.ckpt", client / MODEL_NAME)
        use = ("infer", data, f"--output_dir={folder / 'out'}", *MACHINE)
        last, product = folder / "copy.ckpt", client / PRODUCT_NAME
        shutil.copy(network / "checkpoints" / "last.ckpt", last)
        evaluate = ("evaluate", data, f"--result={product}", f"--output_dir={folder / 'out'}", *MACHINE)
        show("checkpoint", try_file(last, read_checkpoint, (*use, f"--checkpoint={last}"), count, choice))
        bundle = network / "wts.h5.zip"
        show("bundle", try_file(bundle, open_all, (*use, f"--model_path={network}"), count, choice))
        show("product", try_file(product, lambda path: asdict(read_product(path)), evaluate, count, choice))
        show("checkpoint resumed from", resume_damaged(data, network, min(count, RESUMED), choice))


def show(kind: str, found: Counter[str]) -> None:
    """Print what became of the files of one kind."""
    for end, number in sorted(found.items()):
        print(f"{kind}: {end}: {number}", flush=True)


if __name__ == "__main__":
    set_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
