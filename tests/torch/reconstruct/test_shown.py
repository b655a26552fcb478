"""What notebooks show of scans and results."""

from __future__ import annotations

import base64
import re

import pytest
from matplotlib.figure import Figure

import ptycho_torch as pt
from ptycho_torch.data.scan import Scan
from ptycho_torch.formats.result import ResultFile


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
    evaluated = pt.evaluate_result(
        ResultFile(program="x", pixels=refined.solution.canvas.pixels, probe=refined.solution.probe), small_scan
    )
    for shown, pictures in ((refined, 2), (evaluated, 4)):
        text = shown._repr_html_()
        assert str(shown.verdict).split(" ")[0] in text
        assert len(read_pictures(text)) == pictures
        assert isinstance(shown.plot(), Figure)
    assert f"{refined.metrics['R']:.4g}" in refined._repr_html_()
    titles = [axis.get_title() for axis in refined.plot_fit().axes]
    assert {"probe", "R by epoch"} <= set(titles)
    assert evaluated.figures["R"] == pytest.approx(refined.metrics["R"], rel=0.02)
