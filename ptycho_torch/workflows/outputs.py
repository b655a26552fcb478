"""The folder of a result: object, probe, pictures and figures of merit, with and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.figures import draw_grey, save_displacements, save_object
from ptycho_torch.evaluate.fluorescence import map_fluorescence
from ptycho_torch.evaluate.objects import find_phase_plane
from ptycho_torch.evaluate.scores import find_illuminated_area, sum_illumination
from ptycho_torch.formats.npz import write_object
from ptycho_torch.formats.results import HALF_NAMES
from ptycho_torch.migrations.results import RESULT
from ptycho_torch.pictures.figure import save_figure
from ptycho_torch.solve.scan_model import Solution
from ptycho_torch.storage.writing import write_atomically, write_json
from ptycho_torch.workflows.display import draw_objects, draw_result_fit
from ptycho_torch.workflows.reconstruction import Reconstruction
from ptycho_torch.workflows.refinement import Refinement


def write_result(result: Reconstruction | Refinement, folder: Path) -> dict[str, str]:
    """Write a result into a folder and return the names of its files by content.

    A scan that was read from a product adds a product; a network adds its own object and a sample of its patches.
    """
    canvas, probe = result.solution.canvas, result.solution.probe
    scan = result.solution.scan or result.scan
    illumination = sum_illumination(scan, probe)
    mask = find_illuminated_area(illumination)
    plane = find_phase_plane(canvas.pixels, mask)
    amplitude, phase = save_object(canvas.pixels, folder, mask, plane, scan.pixel_m)
    paths = {"object": folder / "object.npz", "probe": folder / "probe.npy"}
    write_object(canvas, paths["object"], plane.to_array(), interrupted=result.interrupted)
    with write_atomically(paths["probe"]) as file:
        np.save(file, probe)
    if isinstance(result, Reconstruction):
        paths |= {"network_object": folder / "network_object.npz", "prediction": folder / "prediction.npz"}
        write_object(result.prediction.canvas, paths["network_object"])
        with write_atomically(paths["prediction"]) as file:
            np.savez_compressed(file, patches=result.sample, patterns=result.sample_patterns)
    paths |= {"metrics": folder / "metrics.json", "comparison": folder / "comparison.png"}
    mark = {"interrupted": result.interrupted} if result.interrupted else {}
    write_json(RESULT.mark() | _collect_metrics(result) | mark, paths["metrics"])
    save_figure(draw_objects(result), paths["comparison"])
    paths |= {"amplitude": amplitude, "phase": phase, "fit": folder / "fit.png"}
    save_figure(draw_result_fit(result), paths["fit"])
    paths |= _write_halves(result, folder)
    positions = {"given_px": result.scan.positions_px, "refined_px": scan.positions_px}
    paths |= _write_positions(**positions, folder=folder)
    paths |= _write_fluorescence(scan, probe, mask, folder)
    if scan.source is not None:
        paths |= scan.source.write_result(folder, canvas, probe, result.solution.errors, **positions)
    return {name: path.name for name, path in paths.items()}


def _write_fluorescence(
    scan: Scan, probe: NDArray[np.complex64], mask: NDArray[np.bool_], folder: Path
) -> dict[str, Path]:
    """Write maps of the fluorescence, with a picture of each channel; nothing if the scan has none."""
    if scan.fluorescence is None:
        return {}
    maps = map_fluorescence(scan, probe)
    paths = {"fluorescence": folder / "fluorescence.npz"}
    with write_atomically(paths["fluorescence"]) as file:
        np.savez_compressed(file, maps=maps)
    for channel, values in enumerate(maps):
        paths[f"fluorescence_{channel}"] = folder / f"fluorescence_{channel}.png"
        picture = draw_grey(values, mask, f"fluorescence, channel {channel}", scan.pixel_m)
        save_figure(picture, paths[f"fluorescence_{channel}"])
    return paths


def _write_halves(result: Reconstruction | Refinement, folder: Path) -> dict[str, Path]:
    """Write the objects of the two halves of a scan, if they were reconstructed."""
    halves = result.halves if isinstance(result, Refinement) else ()
    paths = {Path(name).stem: folder / name for name in HALF_NAMES[: len(halves)]}
    for path, half in zip(paths.values(), halves, strict=True):
        write_object(half, path)
    return paths


def _write_positions(given_px: NDArray[np.float64], refined_px: NDArray[np.float64], folder: Path) -> dict[str, Path]:
    """Write positions that were refined, with a picture; nothing if they were not."""
    if np.array_equal(given_px, refined_px):
        return {}
    paths = {"positions": folder / "positions.npz", "positions_picture": folder / "positions.png"}
    with write_atomically(paths["positions"]) as file:
        np.savez_compressed(file, given_px=given_px, refined_px=refined_px)
    save_displacements(given_px, refined_px, paths["positions_picture"])
    return paths


def _collect_corrections(solution: Solution) -> dict[str, Any]:
    return {
        each.name: {
            "kept": each.is_kept,
            "R_free_before": each.free_before,
            "R_free_after": each.free_after,
            **each.figures,
        }
        for each in solution.corrections
    }


def _collect_metrics(result: Reconstruction | Refinement) -> dict[str, Any]:
    if isinstance(result, Reconstruction):
        judged: dict[str, Any] = {"verdict": str(result.verdict), "diagnostics": result.verdict.figures}
        if result.polished:
            solution = result.solution
            judged |= {
                "start": result.start,
                "R_by_epoch": solution.errors,
                "R_free_by_epoch": solution.free_errors,
                "remarks": solution.remarks,
                "corrections": _collect_corrections(solution),
            }
        return result.metrics | judged
    solution = result.solution
    values: dict[str, Any] = {
        **result.metrics,
        "R_by_epoch": solution.errors,
        "R_free_by_epoch": solution.free_errors,
        "remarks": solution.remarks,
        "corrections": _collect_corrections(solution),
        "verdict": str(result.verdict),
    }
    if result.resolution:
        values["frc"] = {
            "frequency_nyquist": result.resolution.frequency.tolist(),
            "correlation": result.resolution.correlation.tolist(),
            "half_bit_threshold": result.resolution.threshold.tolist(),
        }
    return values
