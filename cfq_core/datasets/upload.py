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

from cfq_core.datasets.card import parse_card
from cfq_core.datasets.card_rows import MAX_LEVELS, NUMBER, Column, Place, column_names, read_columns

MAX_UPLOAD = 20_000_000  # bytes; what the server accepts too
CARD, CSV = "card.toml", "table.csv"  # as they are kept
CARDS = "cards"  # folder of a store
USUAL = {"move": "any", "missing": "refuse"}  # what a card need not say
#: Keys of a feature that the card editor shows, in its order.
EDITED = (
    "name", "kind", "label", "unit", "move", "missing", "protected", "immutable", "easy", "low", "high", "log",
    "levels",
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
    return [_guess(name, column) for name, column in columns.items()]


def _guess(name: str, column: Column) -> dict[str, Any]:
    words = [w for w in column.words if w]
    numbers = bool(words) and all(NUMBER.fullmatch(w) for w in words)
    whole = numbers and all(float(w).is_integer() for w in words)
    kind = "category" if not numbers else "integer" if whole else "number"
    useful = len(words) > 1 and bool(name) and (numbers or len(words) <= MAX_LEVELS)
    row = dict.fromkeys(EDITED, "") | {"name": name, "kind": kind, "move": "any", "low": None, "high": None}
    gaps = len(words) < len(column.words)
    row["missing"] = ("indicator" if numbers else "level") if gaps else "refuse"
    return {"use": useful, **row, "protected": False, "immutable": False, "easy": False, "log": False}


def card_text(name: str, target: str, favourable: str, features: Sequence[Mapping[str, Any]]) -> str:
    """A card as TOML. Text is quoted as JSON does, which TOML reads alike."""
    head = {"name": name, "title": name, "csv": CSV, "target": target, "favourable": favourable}
    lines = [f"{key} = {json.dumps(value)}" for key, value in head.items()]
    for feature in features:
        lines += ["", "[[feature]]"]
        lines += [f"{key} = {value}" for key in EDITED if (value := _toml(key, feature.get(key)))]
    return "\n".join(lines) + "\n"


def _toml(key: str, value: Any) -> str:
    """One value; empty where it says nothing beyond the default."""
    if value is None or value is False or value == "" or value != value or value == USUAL.get(key):
        return ""
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
