"""How a text table is written: its encoding, the mark between cells, and how its numbers look.

A card says it (``delimiter``, ``decimal``, ``thousands``, ``strip``, ``encoding``); the defaults are plain UTF-8 CSV.
Nothing is guessed while a table is read: `sniffed` looks for what a file seems to be, for drafts and for messages.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

#: What may stand between cells, by the name that messages use.
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
#: Encodings a card may name, and those tried in turn by `sniffed`; any bytes are some cp1252 text, or nearly.
ENCODINGS = ("utf-8", "utf-16", "cp1252", "latin-1")
#: Marks that spreadsheets put beside numbers: currencies, per cent, spaces that do not break.
MARKS = ("€", "$", "£", "¥", "%", "EUR", "USD", "GBP", "CHF", "DM", "kr", "\u00a0", "\u202f", "'")
THOUSANDS = (".", ",", "'", " ", "\u00a0", "\u202f")
LOOKED_AT = 200  # rows from which the delimiter is found


@dataclass(frozen=True)
class Dialect:
    """How a table is written."""

    delimiter: str = ","
    decimal: str = "."
    thousands: str = ""  # between groups of three digits
    strip: tuple[str, ...] = ()  # texts around numbers that are left out, such as a currency
    encoding: str = "utf-8"
    sheet: str = ""  # of a workbook; empty: its only one

    @property
    def plain(self) -> bool:
        """Whether numbers stand as they are."""
        return self.decimal == "." and not self.thousands and not self.strip

    def of_column(self, thousands: str) -> Dialect:
        """The same for a column with its own thousands mark; where that is the decimal mark, it has no decimals."""
        if not thousands:
            return self
        other = "," if self.decimal == "." else "."
        return replace(self, thousands=thousands, decimal=other if thousands == self.decimal else self.decimal)

    def number(self, cell: str) -> str:
        """A number's cell as plain digits; empty where it is no number in this dialect."""
        if self.plain:
            return cell
        text = cell
        for mark in self.strip:
            text = text.removeprefix(mark).removesuffix(mark).strip() if mark.strip() else text.replace(mark, "")
        whole, point, rest = text.partition(self.decimal)
        if self.thousands and self.thousands in whole:
            groups = re.fullmatch(rf"[+-]?\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+", whole)
            if groups is None:
                return ""
            whole = whole.replace(self.thousands, "")
        if self.decimal != "." and "." in whole + rest:
            return ""
        return f"{whole}{'.' if point else ''}{rest}"


def mistakes(dialect: Dialect) -> str:
    """What is wrong with a dialect; empty where nothing is."""
    if dialect.delimiter not in DELIMITERS:
        return f'delimiter = "{dialect.delimiter}"; one of comma, semicolon, tab ("\\t"), bar and space'
    if dialect.decimal not in (".", ","):
        return f'decimal = "{dialect.decimal}"; "." or ","'
    if dialect.thousands not in ("", *THOUSANDS):
        return f'thousands = "{dialect.thousands}"; a point, a comma, an apostrophe or a space'
    if dialect.thousands == dialect.decimal:
        return f'thousands = "{dialect.thousands}" is the decimal mark too; say it under the [[feature]] that has it'
    if dialect.encoding not in ENCODINGS:
        return f'encoding = "{dialect.encoding}"; one of {", ".join(ENCODINGS)}'
    return ""


def sniffed(data: bytes) -> Dialect:
    """What a file seems to be written in; numbers are looked at by `number_marks`, column by column."""
    encoding = encoding_of(data)
    return Dialect(delimiter=delimiter_of(data.decode(encoding, errors="replace")), encoding=encoding)


def encoding_of(data: bytes) -> str:
    """By its byte order mark, else UTF-8 where it is that, else cp1252."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for encoding in ("utf-8", "cp1252"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def delimiter_of(text: str) -> str:
    """The mark that cuts the first rows into most cells, the same number in each; a comma where none does."""
    head = "\n".join(text.removeprefix("\ufeff").splitlines()[:LOOKED_AT])
    if named := re.match(r"sep=(.)\r?\n", head):
        return named[1]
    best, widest = ",", 1
    for mark in (",", ";", "\t", "|"):
        try:
            widths = Counter(len(row) for row in csv.reader(io.StringIO(head, newline=""), delimiter=mark) if row)
        except csv.Error:
            continue
        width, rows = widths.most_common(1)[0] if widths else (1, 0)
        if width > widest and rows >= 0.9 * sum(widths.values()):
            best, widest = mark, width
    return best


PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Written:
    """How the numbers of a column seem to be written; ``sure`` where no other reading gives other numbers."""

    dialect: Dialect
    sure: bool


def number_marks(cells: Sequence[str], decimal: str = "") -> Written | None:
    """How a column's numbers are written; None where they are not numbers in any way we know.

    ``1.234`` alone can be a thousand or one and a bit: the plainer reading is taken, and is not sure. ``decimal``: the
    mark before the decimals where it is known, as from other columns.
    """
    held = set("".join(cells))
    strip = tuple(m for m in MARKS if set(m) <= held and any(_beside(c, m) for c in cells))
    marks = [decimal] if decimal else [".", ","]
    pairs = sorted(((d, t) for d in marks for t in ("", *THOUSANDS) if t != d), key=lambda p: p[1] != "")
    pairs = [(d, t) for d, t in pairs if set(t) <= held]  # a mark that is in no cell reads as none does
    read: dict[tuple[float, ...], Dialect] = {}
    for mark, thousands in pairs:
        dialect = Dialect(decimal=mark, thousands=thousands, strip=strip)
        numbers = list(takewhile(PLAIN_NUMBER.fullmatch, (dialect.number(c) for c in cells)))
        if len(numbers) == len(cells):
            read.setdefault(tuple(float(n) for n in numbers), dialect)
    return Written(next(iter(read.values())), len(read) == 1) if read else None


def _beside(cell: str, mark: str) -> bool:
    return cell != mark and (cell.startswith(mark) or cell.endswith(mark))
