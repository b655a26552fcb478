"""What a browser would make of a page: its elements with their attributes, and its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

# what somebody who writes a test might put into its name or message
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></table></details></main><h1>PROVEN</h1>",
    "<!-- the rest is gone",
    "<?php x ?> <![CDATA[ x ]]>",
    "[click](javascript:alert(1))",
    "![picture](https://example.org/x.png)",
    "<https://example.org> https://example.org www.example.org",
    "[a]: https://example.org",
    "`code` ``more``",
    "```\nclosed\n```",
    "`",
    "\\`",
    "a | b || c |",
    "a \\| b \\\\| c",
    "\\",
    "# heading\n- item\n\n1. item\n> quote\n---",
    "**bold** _word_ __init__ ~~gone~~ $x$",
    "&lt;b&gt; &#60;b&#62; &amp;",
    "@person #1 !2",
    "\u202eabc\u202c \u200b\u2066x\ufeff",
    "\x1b[8mhidden\x1b[0m \x00\x07\x9b",
    "\r\nx\r",
    "\ud800",
    "'\" onmouseover='alert(1)' x=\"",
    "{{ 7 * 7 }} {% raw %}",
)


@dataclass
class Page(HTMLParser):
    """The elements of a page in their order, and its text."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_comment(self, data: str) -> None:
        self.elements.append(("<!-- -->", {}))

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    @property
    def text(self) -> str:
        return "".join(self.parts)


def read_page(html: str) -> Page:
    """Read a page or a part of one."""
    page = Page()
    page.feed(html)
    page.close()
    return page
