"""A table someone uploads: what its columns look like, a card drafted from them, and where the two are kept.

Nothing is written before the whole table has been read and found good; names of files are never taken
from the upload's path.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cfq_core.datasets.card import parse_card
from cfq_core.datasets.card_rows import MAX_LEVELS, NUMBER, Column, Place, column_names, read_columns
from cfq_core.datasets.draft_columns import Guess, guessed

MAX_UPLOAD = 20_000_000  # bytes; what the server accepts too
CARD, CSV = "card.toml", "table.csv"  # as they are kept
CARDS = "cards"  # folder of a store
USUAL = {"move": "any", "missing": "refuse"}  # what a card need not say
#: Keys of a feature that the card editor shows, in its order.
EDITED = (
    "name", "kind", "label", "unit", "move", "missing", "protected", "immutable", "easy", "low", "high", "log",
    "levels", "format", "other_below",
)  # fmt: skip


def checked_upload(name: str, content: bytes) -> str:
    """The upload's plain file name; raises `BadCard` where it is a path, too large or empty."""
    plain = name.replace("\\", "/").rsplit("/", 1)[-1]
    place = Place(plain or "upload")
    if plain != name or plain.startswith(".") or not re.fullmatch(r"[\w][\w .()+-]{0,120}", plain):
        raise place.bad("not a plain file name; letters, digits, spaces, dots and dashes")
    if len(content) > MAX_UPLOAD:
        raise place.bad(f"has {len(content) / 1e6:.1f} MB; at most {MAX_UPLOAD / 1e6:g} MB (larger ones: cfq run)")
    if not content.strip():
        raise place.bad("is empty")
    return plain


def read_upload(name: str, content: bytes) -> dict[str, Column]:
    """Every column of an uploaded CSV; raises `BadCard` with one line on what is wrong."""
    names = column_names(content, name)
    return read_columns(content, name, {n: Place(name, f'column "{n}"') for n in names})


def draft(columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    """One row a column for the card editor, guessed from its cells; ``use`` is False where it cannot serve."""
    return [_guess(name, column, _proposed(name, column)) for name, column in columns.items()]


def questions(columns: Mapping[str, Column]) -> list[str]:
    """What only a person can answer of columns that are dates, have rare levels, or may be sampling weights."""
    out = []
    for name, column in columns.items():
        found = _proposed(name, column)
        out += [f"{name} is left out: {found.why_not}"] if found.may_weigh else []
        out += found.questions if _is_date(found) or "other_below" in found.keys else ()
    return out


def latest_day(columns: Mapping[str, Column]) -> str:
    """The last day of all columns of dates, from which a card may count back; empty where there are none."""
    found = (_proposed(name, column) for name, column in columns.items())
    return max((g.latest for g in found if _is_date(g)), default="")


def _proposed(name: str, column: Column) -> Guess:
    """What a drafted card would say of the cells that are not empty."""
    empty = [k for k, word in enumerate(column.words) if not word]
    there = column.of_rows(~np.isin(column.cells, empty))
    return guessed(name, there) if there.words else Guess(name, False, {})


def _is_date(found: Guess) -> bool:
    """Whether every cell is a date: where some are words that mean missing, the editor cannot say so."""
    return found.keys.get("kind") == "date" and not found.gaps


def _guess(name: str, column: Column, found: Guess) -> dict[str, Any]:
    words = [w for w in column.words if w]
    numbers = bool(words) and all(NUMBER.fullmatch(w) for w in words)
    whole = numbers and all(float(w).is_integer() for w in words)
    kind = "category" if not numbers else "integer" if whole else "number"
    kind = "date" if _is_date(found) else kind
    rare = found.keys.get("other_below", 0) if kind == "category" else 0
    useful = len(words) > 1 and bool(name) and (kind != "category" or len(words) <= MAX_LEVELS or rare > 0)
    row: dict[str, Any] = dict.fromkeys(EDITED, "") | {
        "name": name,
        "kind": kind,
        "move": "any",
        "low": None,
        "high": None,
    }
    gaps = len(words) < len(column.words)
    row["missing"] = ("level" if kind == "category" else "indicator") if gaps else "refuse"
    row |= {"format": found.keys.get("format", "") if kind == "date" else "", "other_below": rare}
    marks = {"protected": False, "immutable": kind == "date", "easy": False, "log": False}  # a day that was, stays
    return {"use": useful and not found.may_weigh, **row, **marks}


def card_text(
    name: str, target: str, favourable: str, features: Sequence[Mapping[str, Any]], reference: str = "",
    weights: str = "",
) -> str:  # fmt: skip
    """A card as TOML. Text is quoted as JSON does, which TOML reads alike."""
    head = {"name": name, "title": name, "csv": CSV, "target": target, "favourable": favourable}
    head |= {key: said for key, said in (("reference", reference), ("weights", weights)) if said}
    lines = [f"{key} = {json.dumps(value)}" for key, value in head.items()]
    for feature in features:
        lines += ["", "[[feature]]"]
        lines += [f"{key} = {value}" for key in EDITED if (value := _toml(key, feature.get(key)))]
    return "\n".join(lines) + "\n"


def _toml(key: str, value: Any) -> str:
    """One value; empty where it says nothing beyond the default."""
    if value is None or value is False or value == "" or value != value or value == USUAL.get(key):
        return ""
    if key == "other_below":
        return str(int(value)) if value else ""
    if key == "levels":
        return json.dumps([part.strip() for part in str(value).split(",") if part.strip()])
    return json.dumps(value)


def keep(store: Path, card: str, content: bytes, csv_name: str) -> Path:
    """Check a card and its CSV and keep them in the store; gives the card's path. Raises `BadCard`."""
    table = parse_card(card, content, CARD, csv_name)
    home = store / CARDS
    final = home / f"{table.schema.name}-{table.fingerprint()}"
    if (final / CARD).is_file():
        return final / CARD
    home.mkdir(parents=True, exist_ok=True)
    draft_folder = Path(tempfile.mkdtemp(dir=home, prefix="."))
    try:
        (draft_folder / CSV).write_bytes(content)
        (draft_folder / CARD).write_text(_with_csv(card), encoding="utf-8")
        draft_folder.replace(final)
    except OSError:
        shutil.rmtree(draft_folder, ignore_errors=True)
        raise
    return final / CARD


def kept(store: Path) -> dict[str, Path]:
    """Cards that were uploaded to a store, by name."""
    return {p.parent.name.rsplit("-", 1)[0]: p for p in sorted((store / CARDS).glob(f"[!.]*/{CARD}"))}


def _with_csv(card: str) -> str:
    """The card with its CSV under the name it is kept by; the first such key stands above the features."""
    if tomllib.loads(card).get("csv") == CSV:
        return card
    return re.sub(r"(?m)^\s*csv\s*=.*$", f'csv = "{CSV}"', card, count=1)
