"""Damage a simulated scan in the ways of docs/troubleshooting.md, reconstruct it as it is and cured, and draw both.

python docs/site/symptoms.py [NAME ...]
"""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sources import ROOT

from ptycho_torch.cli.main import main as run_command
from ptycho_torch.evaluate.figures import draw_object

PICTURES = ROOT / "docs" / "pictures" / "symptoms"
SIMULATE = "simulate --object siemens --object_px 176 --step_px 7 --seed 2 --quiet --output"
REFINE = "refine --quiet --data"
# the arrays of a scan by name, as they are stored
Arrays = dict[str, Any]


@dataclass(frozen=True)
class Symptom:
    """What is wrong with a scan, and what to do.

    Attributes:
        damage: changes the arrays of a scan as it is stored.
        cure: options of `refine` that lead to a good picture; empty if only another measurement does.
        simulated: further options of `simulate`, for what cannot be done to arrays.
        cured: the same for the scan beside it; without it both pictures are of the same scan.
    """

    damage: Callable[[Arrays], Arrays]
    cure: str = ""
    simulated: str = ""
    cured: str | None = None


def main(names: list[str]) -> None:
    """Draw the named symptoms, or all of them, and print the figures."""
    for name in names or SYMPTOMS:
        with tempfile.TemporaryDirectory() as folder:
            draw(SYMPTOMS[name], Path(folder), PICTURES / f"{name}.png")


def draw(symptom: Symptom, folder: Path, picture: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reconstruct a scan as it is and cured, and draw both; returns the figures of both."""
    plain = make_scan(symptom, symptom.simulated, folder / "scan.npz")
    other = plain if symptom.cured is None else make_scan(symptom, symptom.cured, folder / "other.npz")
    first = reconstruct(plain, "", folder / "first")
    second = reconstruct(other, symptom.cure, folder / "second")
    titles = (make_title("as it is", first), make_title(symptom.cure or symptom.cured or "", second))
    save_pictures({folder / "first": titles[0], folder / "second": titles[1]}, picture)
    print(picture.stem, *(title.replace("\n", ": ") for title in titles), sep=" | ", flush=True)
    return first, second


def save_pictures(runs: dict[Path, str], path: Path) -> None:
    """Save amplitude and phase of the objects of runs, where the beam was, side by side with titles, in few colours."""
    figure = plt.figure(figsize=(4.6 * len(runs), 2.9), layout="constrained")
    parts = figure.subfigures(1, len(runs), squeeze=False)[0]
    for part, (run, title) in zip(parts, runs.items(), strict=True):
        part.suptitle(title, fontsize=10)
        with np.load(run / "object.npz") as stored:
            image = stored["object"]
        edge = np.load(run / "probe.npy").shape[-1] // 2
        mask = np.zeros(image.shape, np.bool_)
        mask[edge:-edge, edge:-edge] = True
        drawn = np.split(draw_object(image, mask), 2, axis=1)
        for axis, pixels, name in zip(part.subplots(1, 2), drawn, ("amplitude", "phase"), strict=True):
            axis.imshow(pixels)
            axis.set_axis_off()
            axis.set_title(name, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90)
    plt.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(buffer).convert("L").quantize(32).save(path, optimize=True)


def make_scan(symptom: Symptom, simulated: str, path: Path) -> Path:
    """Simulate a scan, damage it and write it as NPZ."""
    _run([*shlex.split(SIMULATE), str(path), *shlex.split(simulated)])
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files if name not in ("objectGuess", "background")}
    np.savez(path, **symptom.damage(arrays))
    return path


def reconstruct(scan: Path, options: str, folder: Path) -> dict[str, Any]:
    """Run `refine` on a file with options as they are typed; returns its figures and verdict."""
    _run([*shlex.split(REFINE), str(scan), "--output_dir", str(folder), *shlex.split(options)])
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


def _run(words: list[str]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        code = run_command(words)
    if code not in (0, 3):
        raise SystemExit(f"ptycho-torch {shlex.join(words)} ended with {code}")


def make_title(words: str, figures: dict[str, Any]) -> str:
    """Say under which words a run stands, with its residual and verdict."""
    return f"{words}\nR {figures['R']:.3f}, {figures['verdict'].split()[0]}"


def _turn_patterns(arrays: Arrays) -> Arrays:
    return {**arrays, "diff3d": arrays["diff3d"][:, ::-1, :]}


def _swap_positions(arrays: Arrays) -> Arrays:
    return {**arrays, "xcoords": arrays["ycoords"], "ycoords": arrays["xcoords"]}


def _stretch_positions(arrays: Arrays) -> Arrays:
    return {**arrays, "xcoords": 1.05 * arrays["xcoords"], "ycoords": 1.05 * arrays["ycoords"]}


def _jitter_positions(arrays: Arrays) -> Arrays:
    errors_px = np.random.default_rng(0).normal(scale=1.5, size=(2, len(arrays["xcoords"])))
    return {**arrays, "xcoords": arrays["xcoords"] + errors_px[0], "ycoords": arrays["ycoords"] + errors_px[1]}


def _add_background(arrays: Arrays) -> Arrays:
    counts = arrays["diff3d"] ** 2
    added = np.random.default_rng(0).poisson(0.2 * counts.mean(), counts.shape)
    return {**arrays, "diff3d": np.sqrt(counts + added)}


def _move_beam(arrays: Arrays) -> Arrays:
    return {**arrays, "diff3d": np.roll(arrays["diff3d"], (7, -5), axis=(1, 2))}


def _heat_pixels(arrays: Arrays) -> Arrays:
    patterns = arrays["diff3d"].copy()
    generator = np.random.default_rng(0)
    hot = np.zeros(patterns.shape[1:], np.bool_)
    hot.flat[generator.choice(hot.size, 12, replace=False)] = True
    patterns[:, hot] = patterns.max() * generator.uniform(0.3, 1, 12)
    return {**arrays, "diff3d": patterns, "hot_pixels": hot}


def _flatten_probe(arrays: Arrays) -> Arrays:
    side = arrays["diff3d"].shape[-1]
    grid = np.arange(side) - side // 2
    disc = np.hypot(*np.meshgrid(grid, grid)) <= side / 5
    return {**arrays, "probeGuess": disc[None].astype(np.complex64)}


def _lose_units(arrays: Arrays) -> Arrays:
    counts = arrays["diff3d"] ** 2
    return {**arrays, "diff3d": counts / counts.max()}


def _keep(arrays: Arrays) -> Arrays:
    return arrays


SYMPTOMS = {
    "orientation": Symptom(_turn_patterns, "--flip_rows"),
    "swapped": Symptom(_swap_positions, "--swap_positions"),
    "scale": Symptom(_stretch_positions, "--refine_positions affine"),
    "jitter": Symptom(_jitter_positions, "--refine_positions each"),
    "background": Symptom(_add_background, "--refine_background constant"),
    "centre": Symptom(_move_beam, "--detector_centre"),
    "hot_pixels": Symptom(_heat_pixels, "--mask hot_pixels"),
    "probe": Symptom(_flatten_probe, "--probe_guess patterns"),
    "units": Symptom(_lose_units, "--units counts --photons 1e6"),
    "noise": Symptom(_keep, "", "--photons 3000", "--photons 300000"),
    "overlap": Symptom(_keep, "", "--step_px 22", "--step_px 7"),
}


if __name__ == "__main__":
    main(sys.argv[1:])
