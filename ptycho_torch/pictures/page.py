"""A report as one HTML page that needs no other file: styles and pictures are inside of it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1b1b1f; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 1.8rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid #d9d9e0; padding: .3rem .8rem .3rem 0; vertical-align: top; }
td:nth-child(1) { width: 19rem; } td:nth-child(2) { white-space: nowrap; font-weight: 600; width: 13rem; }
td:nth-child(3) { color: #55555e; }
img { max-width: 100%; height: auto; } figure { margin: 1rem 0; } figcaption { color: #55555e; }
.verdict { border-left: .4rem solid #8a8a94; background: #f3f3f6; padding: .6rem 1rem; }
.good { border-color: #2e8b57; } .doubtful { border-color: #d99000; } .failed { border-color: #c0392b; }
footer { margin-top: 2rem; color: #55555e; font-size: .85rem; }
"""


def render_page(
    title: str,
    verdict: tuple[str, str],
    tables: Mapping[str, str],
    pictures: Sequence[tuple[str, str]],
    notes: Sequence[str] = (),
) -> str:
    """Render a report.

    Args:
        title: plain text.
        verdict: its word and its sentence, plain text.
        tables: HTML tables by heading.
        pictures: captions and HTML images.
        notes: lines at the end, plain text.
    """
    word, sentence = verdict
    parts = [f"<h2>{html.escape(heading)}</h2>{table}" for heading, table in tables.items()]
    parts += [f"<figure><figcaption>{html.escape(caption)}</figcaption>{image}</figure>" for caption, image in pictures]
    ending = "<br>".join(map(html.escape, notes))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{html.escape(title)}</h1>"
        f'<p class="verdict {html.escape(word)}">{html.escape(sentence)}</p>'
        f"{''.join(parts)}<footer>{ending}</footer></body></html>\n"
    )
