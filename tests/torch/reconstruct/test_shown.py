"""What notebooks show of scans and results."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import ptycho_torch as pt
from ptycho_torch.data.scan import Scan
from ptycho_torch.formats.result import ResultFile
from ptycho_torch.workflows.outputs import write_result


def read_pictures(text: str) -> list[bytes]:
    return [base64.b64decode(code) for code in re.findall(r'src="data:image/png;base64,([^"]+)"', text)]


def test_a_scan_shows_its_numbers_and_a_picture(small_scan: Scan) -> None:
    text = small_scan._repr_html_()
    assert f"{len(small_scan)} of 32 × 32 px" in text
    assert "<td>unknown</td>" in text
    [picture] = read_pictures(text)
    assert picture.startswith(b"\x89PNG")
    figure = small_scan.plot()
    assert isinstance(figure, Figure)
    assert [axis.get_title() for axis in figure.axes[:3]] == ["mean pattern", "positions", "probe"]
    assert figure.get_suptitle() == small_scan.name
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_reconstruction_and_its_evaluation_show_verdict_figures_and_pictures(small_scan: Scan) -> None:
    refined = pt.refine_scan(small_scan, pt.RefineSettings(epochs=2))
    result = ResultFile(program="x", pixels=refined.solution.canvas.pixels, probe=refined.solution.probe)
    evaluated = pt.evaluate_result(replace(result, errors=(0.5, 0.4), free_errors=(0.7, 0.6)), small_scan)
    for shown, pictures in ((refined, 2), (evaluated, 4)):
        text = shown._repr_html_()
        assert str(shown.verdict).split(" ")[0] in text
        assert len(read_pictures(text)) == pictures
        assert isinstance(shown.plot(), Figure)
    assert f"{refined.metrics['R']:.4g}" in refined._repr_html_()
    titles = [axis.get_title() for axis in refined.plot_fit().axes]
    assert {"probe", "R by epoch"} <= set(titles)
    assert evaluated.figures["R"] == pytest.approx(refined.metrics["R"], rel=0.02)
    assert (evaluated.to_dict()["R_by_epoch"], evaluated.to_dict()["R_free_by_epoch"]) == ([0.5, 0.4], [0.7, 0.6])


def test_the_file_of_an_object_states_its_phase_plane(small_scan: Scan, tmp_path: Path) -> None:
    refined = pt.refine_scan(small_scan, pt.RefineSettings(epochs=1))
    canvas = refined.solution.canvas
    rows, columns = np.indices(canvas.pixels.shape)
    ramp = np.exp(1j * (0.3 + 0.02 * rows - 0.01 * columns)).astype(np.complex64)
    planes = []
    for name, pixels in (("plain", canvas.pixels), ("ramped", canvas.pixels * ramp)):
        solution = replace(refined.solution, canvas=replace(canvas, pixels=pixels))
        write_result(replace(refined, solution=solution), tmp_path / name)
        with np.load(tmp_path / name / "object.npz") as stored:
            np.testing.assert_array_equal(stored["object"], pixels)
            planes.append(stored["phase_plane"])
    np.testing.assert_allclose(planes[1] - planes[0], (0.3, 0.02, -0.01), atol=1e-3)
