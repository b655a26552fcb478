"""Does the doctor name mistakes in the description of a scan, cure them, and leave sound files alone?

PTYCHO_TORCH_DATA=FOLDER python tests/benchmarks/doctor.py [KIND [FIRST [LAST [STEP]]]]

KIND is damages (of a measured scan; the default), others (of a simulated one), sound or orientation.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from damaged_scans import DAMAGES, Arrays, Damage, turn_patterns
from other_damages import OTHER_DAMAGES
from report import header

from ptycho_torch.config import DataSettings, SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor import Diagnosis, examine_file
from ptycho_torch.doctor.change import ORIENTATIONS
from ptycho_torch.formats import read_npz
from ptycho_torch.formats.cxi_writer import write_cxi, write_nexus
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.simulate.scan import simulate_scan

STAR_PATTERNS = 260
# a cured scan may leave so many times as much unexplained as the undamaged one
ENOUGH = 1.3
# and so much is hardly anything
LEAST = 0.05
OTHER = SimulationSettings(
    object="dead_leaves", object_px=76, patch_px=32, probe_diameter_px=10, step_px=4, photons=1e5, seed=5
)
PIXEL_M = 20e-9
AS_STORED = (False, False, False)


def read_star() -> Arrays:
    """The middle of the measured star, on a smaller detector."""
    scan = read_npz(Path(os.environ["PTYCHO_TORCH_DATA"]) / "siemens_star.npz", DataSettings(crop_px=64))
    distance = np.abs(scan.positions_px - np.median(scan.positions_px, axis=0)).max(axis=1)
    scan = scan.take(np.sort(np.argsort(distance, kind="stable")[:STAR_PATTERNS]))
    return Arrays(np.array(scan.counts), np.array(scan.positions_px), scan.require_probe()[0])


def examine(path: Path, folder: Path) -> tuple[Diagnosis, float]:
    """Examine a file; also returns seconds of processor time."""
    started = time.process_time()
    found = examine_file(path, open_folder=lambda: folder)
    return found, time.process_time() - started


def describe(found: Diagnosis, seconds: float) -> str:
    """One line."""
    named = ", ".join(finding.name for finding in found.findings if finding.is_wrong)
    unexplained = found.fit.get("unexplained", float("nan"))
    return f"{found.word:20} {unexplained:5.2f} {seconds:5.1f} s  [{named}] {found.recommended}"


def run_damages(folder: Path, chosen: slice) -> None:
    """Print what is found of each damage of the measured star."""
    run_table(read_star(), DAMAGES, folder, chosen)


def run_others(folder: Path, chosen: slice) -> None:
    """Print what is found of other damages, of a simulated scan."""
    scan = simulate_scan(OTHER)
    run_table(
        Arrays(np.array(scan.counts), np.array(scan.positions_px), scan.require_probe()[0]),
        OTHER_DAMAGES,
        folder,
        chosen,
    )


def run_table(right: Arrays, damages: tuple[Damage, ...], folder: Path, chosen: slice) -> None:
    """Print what is found of each damage of the right arrays."""
    sound, seconds = examine(right.write(folder / "right.npz"), folder)
    print(f"{'undamaged':28} {describe(sound, seconds)}", flush=True)
    least = max(sound.fit["unexplained"], LEAST)
    named = cured = wrong = 0
    numbers = range(len(damages))[chosen]
    for number in numbers:
        damage = damages[number]
        path = damage.spoil(right, np.random.default_rng(number)).write(folder / "damaged.npz")
        found, seconds = examine(path, folder)
        names = {finding.name for finding in found.findings}
        is_named = found.word == "doubtful" or bool(names & set(damage.findings)) or not damage.findings
        is_cured = found.word != "doubtful" and found.fit["unexplained"] < ENOUGH * least
        is_wrong = found.word == "settings recommended" and not is_cured
        named, cured, wrong = named + is_named, cured + is_cured, wrong + is_wrong
        marks = ("named" if is_named else "MISSED") + (" cured" if is_cured else "") + (" WRONG" if is_wrong else "")
        print(f"{damage.name:28} {marks:14} {describe(found, seconds)}", flush=True)
    print(f"named or doubtful {named}, cured {cured}, wrong cures {wrong}, of {len(numbers)}")


def list_sound() -> list[SimulationSettings]:
    """Twenty kinds of scans."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(20):
        side = (32, 64)[number % 2]
        diameter = side * rng.uniform(0.25, 0.36)
        step = diameter * rng.uniform(0.25, 0.45)
        found.append(
            SimulationSettings(
                object=("dead_leaves", "lines", "siemens")[number % 3],
                object_px=int(side + 10 * step),
                patch_px=side,
                probe=("zone_plate", "gaussian")[number // 2 % 2],
                probe_diameter_px=diameter,
                path=("raster", "spiral")[number // 4 % 2],
                step_px=step,
                photons=10 ** rng.uniform(4, 7),
                seed=number,
            )
        )
    return found


def run_sound(folder: Path, chosen: slice) -> None:
    """Print what is found of sound scans."""
    alarms = 0
    scans = list_sound()[chosen]
    for settings in scans:
        scan = simulate_scan(settings)
        write_scan(scan, folder / "sound.npz")
        found, seconds = examine(folder / "sound.npz", folder)
        alarms += found.word != "sound"
        name = f"{settings.object} {settings.probe} {settings.path} {settings.patch_px} {settings.photons:.0e}"
        print(f"{name:44} {describe(found, seconds)} {found.doubts}", flush=True)
    print(f"alarms {alarms} of {len(scans)}")


def run_orientation(folder: Path, chosen: slice) -> None:
    """Print what is found of files in each orientation, with and without a probe."""
    cases = [(suffix, way) for suffix in (".npz", ".cxi", ".nxs") for way in (AS_STORED, *ORIENTATIONS)]
    numbers = range(len(cases))[chosen]
    right = {True: 0, False: 0}
    for number in numbers:
        suffix, way = cases[number]
        settings = list_sound()[1 + 2 * (number % 8)]
        scan = replace(simulate_scan(settings), truth=None, pixel_m=PIXEL_M)
        turned = turn_patterns(*way)(Arrays(scan.counts, scan.positions_px, None), np.random.default_rng(0)).data
        for has_probe in (True, False):
            path = folder / f"turned{suffix}"
            written: Scan = replace(scan, counts=turned, probe=scan.probe if has_probe else None)
            {".npz": write_scan, ".cxi": write_cxi, ".nxs": write_nexus}[suffix](written, path)
            found, seconds = examine(path, folder)
            again = tuple(getattr(found.data, name) for name in ("transpose", "flip_rows", "flip_columns"))
            rng = np.random.default_rng(0)
            restored = turn_patterns(*again)(Arrays(turned, scan.positions_px, None), rng).data
            twin = turn_patterns(False, True, True)(Arrays(restored, scan.positions_px, None), rng).data
            is_right = np.array_equal(restored, scan.counts) or (not has_probe and np.array_equal(twin, scan.counts))
            right[has_probe] += is_right
            kind = "with probe" if has_probe else "without"
            print(f"{suffix} {way} {kind:10} {'right' if is_right else 'WRONG'} {describe(found, seconds)}", flush=True)
    print(f"right with a probe {right[True]}, right class without {right[False]}, of {len(numbers)}")


def main() -> None:
    """Run what was asked for."""
    what = sys.argv[1] if len(sys.argv) > 1 else "damages"
    numbers = [int(text) for text in sys.argv[2:]]
    chosen = slice(*numbers) if len(numbers) > 1 else slice(sum(numbers), None)
    header(f"doctor: {what}; result, share of the differences left unexplained, processor time, findings, settings")
    with tempfile.TemporaryDirectory() as folder:
        {"damages": run_damages, "others": run_others, "sound": run_sound, "orientation": run_orientation}[what](
            Path(folder), chosen
        )


if __name__ == "__main__":
    main()
