"""A table someone uploads, with its card: where the two are kept.

Nothing is written before the whole table has been read and found good; names of files are never taken
from the upload's path.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfq_core.base.identity import read_object
from cfq_core.datasets.card import parse_card
from cfq_core.datasets.card_rows import Place
from cfq_core.tables.schema import Table

MAX_UPLOAD = 20_000_000  # bytes; what the server accepts too
CARD, CSV = "card.toml", "table.csv"  # as they are kept
CARDS = "cards"  # folder of a store
ABOUT = "about.json"  # rows, and the share of the favourable outcome


@dataclass(frozen=True)
class KeptTable:
    """An uploaded table."""

    path: Path  # of its card
    name: str
    at: float  # when it was kept, seconds since the epoch
    rows: int | None  # None: kept by an older version
    favourable: str = ""
    share: float | None = None  # of the rows with that outcome


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


def keep(store: Path, card: str, content: bytes, csv_name: str) -> Path:
    """Check a card and its CSV and keep them in the store; gives the card's path. Raises `BadCard`."""
    table = parse_card(card, content, CARD, csv_name)
    home = store / CARDS
    final = home / f"{table.schema.name}-{table.fingerprint()}"
    if (final / CARD).is_file():
        (final / CARD).touch()  # the newest again
        return final / CARD
    home.mkdir(parents=True, exist_ok=True)
    draft_folder = Path(tempfile.mkdtemp(dir=home, prefix="."))
    try:
        (draft_folder / CSV).write_bytes(content)
        (draft_folder / CARD).write_text(_with_csv(card), encoding="utf-8")
        (draft_folder / ABOUT).write_text(json.dumps(_about(table)), encoding="utf-8")
        draft_folder.replace(final)
    except OSError:
        shutil.rmtree(draft_folder, ignore_errors=True)
        raise
    return final / CARD


def kept(store: Path) -> list[KeptTable]:
    """The tables that were uploaded to a store, newest first; several of one name stand beside each other."""
    found = [_kept(path) for path in (store / CARDS).glob(f"[!.]*/{CARD}")]
    return sorted(found, key=lambda t: (-t.at, t.name))


def _kept(card: Path) -> KeptTable:
    name, at = card.parent.name.rsplit("-", 1)[0], card.stat().st_mtime
    kinds: dict[str, tuple[type, ...]] = {"rows": (int,), "favourable": (str,), "share": (int, float)}
    try:
        about = read_object(card.parent / ABOUT, kinds)
    except (OSError, ValueError):  # kept by an older version, or damaged: its card says all that counts
        return KeptTable(card, name, at, None)
    return KeptTable(card, name, at, about["rows"], about["favourable"], about["share"])


def _about(table: Table) -> dict[str, Any]:
    return {"rows": len(table), "favourable": table.schema.favourable, "share": float(table.outcome.mean())}


def _with_csv(card: str) -> str:
    """The card with its CSV under the name it is kept by; the first such key stands above the features."""
    if tomllib.loads(card).get("csv") == CSV:
        return card
    return re.sub(r"(?m)^\s*csv\s*=.*$", f'csv = "{CSV}"', card, count=1)
