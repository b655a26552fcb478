"""The page of a diagnosis: HTML with its pictures inside, which needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape

from ptycho_torch.data.stored_counts import find_extremes
from ptycho_torch.doctor.diagnosis import Diagnosis, Finding
from ptycho_torch.doctor.pictures import draw_overview, draw_trials

_STYLE = """
body { font-family: sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; line-height: 1.4; color: #222; }
img { max-width: 100%; } table { border-collapse: collapse; } td, th { padding: .2em .8em .2em 0; text-align: left; }
.sound { background: #e3f4e3; } .settings { background: #fff3d6; } .doubtful { background: #fbe0dd; }
.result { padding: .6em 1em; font-size: 1.2em; } pre { background: #f2f2f2; padding: .8em; overflow-x: auto; }
"""
_WHAT_IT_MEANS = {
    "sound": "nothing was found that spoils a reconstruction",
    "settings recommended": "with the settings below the patterns are explained",
    "doubtful": "a reconstruction would not be trustworthy",
}


def describe_scan(found: Diagnosis) -> list[tuple[str, str]]:
    """What is in the file, in plain words: pairs of a name and its value."""
    scan, stored, pixel_m = found.scan, found.stored, found.scan.pixel_m

    def tell(length_px: float) -> str:
        return f"{length_px:.3g} px" + ("" if pixel_m is None else f" ({length_px * pixel_m * 1e9:.4g} nm)")

    modes = "none in the file" if scan.probe is None else f"{len(scan.probe)} mode{'s' if len(scan.probe) > 1 else ''}"
    lines = [
        (
            "stored",
            f"{stored['patterns']} patterns of {stored['rows']} × {stored['columns']} px, type {stored['type']}",
        ),
        ("used", f"{len(scan)} patterns of {scan.patch_px} × {scan.patch_px} px, read as {scan.stored_as}"),
        (
            "dose",
            f"{scan.photons_per_pattern:.4g} photons per pattern, "
            f"{find_extremes(scan.counts)[1]:.4g} at most on a pixel",
        ),
        ("bad pixels", f"{int((~scan.good_pixels).sum())} of {scan.good_pixels.size}"),
        ("object pixel", "unknown" if pixel_m is None else f"{pixel_m * 1e9:.4g} nm"),
    ]
    cover = found.coverage
    if cover is None:
        return [*lines, ("probe", modes), ("positions", "none in the file")]
    return [
        *lines,
        ("probe", f"{modes}; diameter {tell(cover.probe_diameter_px)}"),
        ("oversampling", f"{cover.probe_oversampling:.3g} by the probe, {cover.scan_oversampling:.3g} by the step"),
        ("positions", f"step {tell(cover.step_px)}, extent {tell(cover.extent_px[0])} × {tell(cover.extent_px[1])}"),
        ("overlap", f"{cover.linear_overlap:.0%} linear, {cover.area_overlap:.0%} of the area"),
        ("views", f"{cover.views_per_pixel:.3g} patterns see a pixel on average"),
        ("fluence", f"{cover.photons_per_pixel:.4g} photons per object pixel"),
    ]


def describe_finding(finding: Finding) -> str:
    """A finding in one line, with the settings that cure it."""
    settings = ", ".join(f"{key}: {_show(value)}" for key, value in {**finding.data, **finding.refine}.items())
    return f"{finding.name} ({finding.sureness}): {finding.text}" + (f" → {settings}" if settings else "")


def _show(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def make_page(found: Diagnosis, settings_text: str) -> str:
    """Make the page.

    Args:
        found: the diagnosis.
        settings_text: the recommended settings as a settings file; empty if there are none.
    """
    kind = found.word.split()[0]
    parts = [
        f"<h1>{escape(found.name)}</h1>",
        f'<p class="result {kind}"><b>{found.word}</b>: {_WHAT_IT_MEANS[found.word]}</p>',
        _make_list("Doubts", found.doubts),
        _make_list("Findings", (describe_finding(f) for f in found.findings if f.is_wrong)),
        f"<h2>Recommended settings</h2><pre>{escape(settings_text)}</pre>" if settings_text else "",
        "<h2>What is in it</h2>",
        _make_table(describe_scan(found)),
        _make_picture(draw_overview(found), "pattern, probe, positions, fluence and object"),
        _make_list("Good to know", (describe_finding(f) for f in found.findings if not f.is_wrong)),
        _describe_trials(found) if found.tried else "",
        _make_list("What the reader said", found.notes),
    ]
    body = "\n".join(part for part in parts if part)
    title = escape(f"{found.name}: {found.word}")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _describe_trials(found: Diagnosis) -> str:
    text = (
        "<h2>What was tried</h2><p>Short reconstructions of the middle of the scan; 0 explains everything but noise, "
        "1 is no better than the mean pattern.</p>"
    )
    return text + _make_picture(draw_trials(found), "what each way of reading leaves unexplained")


def _make_list(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h2>{title}</h2><ul>{items}</ul>" if items else ""


def _make_table(rows: Iterable[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in rows) + "</table>"


def _make_picture(png: bytes, text: str) -> str:
    return f'<p><img alt="{escape(text)}" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'
