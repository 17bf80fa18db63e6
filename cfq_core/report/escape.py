"""The one place where words of users, files and addresses become Markdown: as they are, and nothing of them is markup.

Names of people's columns, levels, files and studies reach a page through `plain` or `sentence`; the HTML report has
`html.escape`. A backslash stops what CommonMark reads. Links that are made of bare addresses, arrows and dashes are
made after that, so an invisible word joiner parts them; Streamlit's own ``:name[`` and ``:name:`` begin at a colon.
"""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST = 2000  # characters of a text; longer ones end in "…"
JOINER = "\u2060"

#: Where two signs would become one, or an address a link.
JOINED = re.compile(
    r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)|(?<=-)(?=[->])|(?<=<)(?=[-=])|(?<=[->=])(?=>)|(?<=[>!~=])(?==)|(?<=[+])(?=-)",
    re.IGNORECASE,
)
#: Signs that mean something wherever they stand, `_` and `:` and `&` and `<` only before or after some others.
SIGNS = re.compile(r"[\\`*\[\]$~|]|(?<![^\W_])_|_(?![^\W_])|:(?=[\w/])|&(?=[#\w])|<(?=[A-Za-z/!?])")
#: What makes a heading, a list, a quotation or a rule at the start of a text.
START = re.compile(r"^(?:[#>+=-]|\d{1,9}(?=[.)]))")


def plain(text: object, longest: int = LONGEST) -> str:
    """A text on one line as Markdown that shows just that; control and direction marks become spaces."""
    marked = _within(text, longest)
    start = START.match(marked)
    if start is None:
        return marked
    return f"{start[0]}\\{marked[start.end() :]}" if start[0].isdigit() else f"\\{marked}"


def _within(text: object, longest: int = LONGEST) -> str:
    """The same where it stands inside a line, where no heading or list can start."""
    one = " ".join("".join(c if c.isprintable() else " " for c in str(text).replace(JOINER, "")).split())
    one = one if len(one) <= longest else one[: longest - 1] + "…"
    return SIGNS.sub(lambda m: f"\\{m[0]}", JOINED.sub(JOINER, one))


def sentence(text: str) -> str:
    """A sentence of ours as Markdown: ``**`` is bold, everything else is `plain`; so the HTML report reads it too."""
    parts = str(text).split("**")
    if len(parts) % 2 == 0:  # a name in it holds two stars
        return plain(text)
    return "".join(_bold(p) if i % 2 else _between(p, plain if i == 0 else _within) for i, p in enumerate(parts))


def _bold(text: str) -> str:
    inner = _within(text)
    return f"**{inner}**" if inner else ""


def _between(text: str, escaped: Callable[[str], str]) -> str:
    """Spaces at its ends stay: they part it from what is bold."""
    inner = escaped(text)
    if not inner:
        return " " if text else ""
    return f"{' ' if text[0].isspace() else ''}{inner}{' ' if text[-1].isspace() else ''}"
