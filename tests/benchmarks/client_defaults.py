"""What the released client gets back with its default settings: figures, and the picture of docs/ptychodus.md.

Run by `nox -s ptychodus -- figures`, in the environment that has the client.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from report import header

if TYPE_CHECKING:
    from ptychodus_scan import ClientScan

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "reference")]
PICTURE = ROOT / "docs" / "pictures" / "ptychodus.png"


def coverage(scan: ClientScan) -> NDArray[np.float32]:
    """Photons that fell on each pixel of the array that the client expects."""
    from ptychodus_client import client_positions

    from ptycho_torch.contracts.ptychodus.scans import ClientScan as OurScan
    from ptycho_torch.data.canvas import Frame
    from ptycho_torch.evaluate.scores import sum_illumination

    probe = scan.start.probes.get_probe_no_opr().get_array()
    place = OurScan.from_arrays(scan.data.get_patterns(), probe, client_positions(scan))
    ours = place.scan
    assert ours.probe is not None
    light, origin = sum_illumination(ours, ours.probe), Frame(ours.positions_px, ours.patch_px).origin_px
    whole = np.zeros(place.shape_px, np.float32)
    row, column = round(origin[0]), round(origin[1])
    whole[row : row + light.shape[0], column : column + light.shape[1]] = light
    return whole


def main() -> None:
    """Train and reconstruct in both modes through the client's own classes."""
    from client_child import reconstruct_like_client
    from ptychodus_client import client_positions, lit, reconstructor, registration_error_px
    from ptychodus_scan import simulate_client_scan

    from ptycho_torch.evaluate.figures import Panel, save_comparison
    from ptycho_torch.evaluate.objects import complex_correlation, complex_error, phase_correlation

    header("what Ptychodus gets back with its default settings")
    scan = simulate_client_scan()
    truth, mask = scan.truth.object_.get_array()[0], lit(scan)
    panels = [Panel("truth", truth)]
    for mode in ("Unsupervised", "Supervised"):
        chosen = reconstructor(mode)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            exported = scan.supervised_input if mode == "Supervised" else scan.reconstruct_input
            chosen.export_training_data(folder / "exported.npz", exported)
            started = time.perf_counter()
            (output,) = list(chosen.train(folder, folder))
            trained = time.perf_counter()
            images: list[Any] = [next(iter(chosen.reconstruct(scan.reconstruct_input))) for _ in range(2)]
            finished = time.perf_counter()
            first, second = (image.product.object_.get_array()[0] for image in images)
            probe = scan.start.probes.get_probe_no_opr().get_array()
            own = reconstruct_like_client(
                chosen._loaded_model_path, scan.data.get_patterns(), probe, client_positions(scan), polish=False
            )
        seconds = {"training": trained - started, "a reconstruction": (finished - trained) / 2}
        figures = {
            "returned: correlation": complex_correlation(first, truth, mask),
            "error": complex_error(first, truth, mask),
            "registration / px": registration_error_px(first, truth, mask),
            "network alone: correlation": complex_correlation(own, truth, mask),
            "phase correlation": phase_correlation(own, truth, mask),
        }
        print(f"{mode}: {len(scan.truth.probe_positions)} patterns, {output.progress} epochs, twice the same:", end=" ")
        print(bool((first == second).all()))
        print("  " + ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()))
        print("  " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
        note = f"correlation {complex_correlation(first, truth, mask):.4f}"
        panels.append(Panel(f"{mode}, returned", first, note))
        panels.append(Panel(f"{mode}, network alone", own, f"correlation {complex_correlation(own, truth, mask):.2f}"))
    save_comparison(panels, coverage(scan), mask, "Ptychodus 1.7.0, default settings", PICTURE)
    # 256 colours are enough, and a third less to keep
    Image.open(PICTURE).convert("RGB").quantize(256).save(PICTURE, optimize=True)
    print(f"picture: {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
