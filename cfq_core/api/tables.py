"""Cards and tables as Python has them: a path, a dict, a DataFrame, the name of a data set.

A dict card has the keys of the TOML file. It becomes that file's text, so one reader checks both, and a study finds its
table again in the store, under ``cards/``. A DataFrame becomes the text of a CSV and is read as one.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cfq_core.api.drafts import CardDraft
from cfq_core.base import plugins
from cfq_core.base.door import path_of, shown
from cfq_core.base.errors import BadCard, BadInput, UnknownName, unknown
from cfq_core.datasets import card as cards
from cfq_core.datasets import slices, upload
from cfq_core.datasets.card_rows import MAX_CSV, Place, decoded
from cfq_core.datasets.draft import draft as drafted
from cfq_core.datasets.table_files import FRAME, as_csv
from cfq_core.tables.schema import Table

DICT = "card"  # and a card that is none
CSV_KEY = "table.csv"  # stands in a card whose table is given beside it


def read_card(card: Any, data: Any = None) -> Table:
    """The table that a card describes: people in exact integer form, with what their columns mean.

    Args:
        card: the path of a TOML file, or a dict with the same keys (``feature``: a list of dicts).
        data: a DataFrame, or the path of a file, in place of the file that the card names.

    Raises:
        BadCard: in one line that names the feature, the value and what is allowed.
    """
    if data is None and not isinstance(card, Mapping | CardDraft):
        return cards.read_card(path_of(card, "read_card", "card"))
    text, name, home = card_text(card)
    content, file = _content(data, text, home, name)
    return cards.parse_card(text, content, name, file)


def draft(data: Any, target: str, favourable: Any = ()) -> CardDraft:
    """A card drafted from a table as it is: what was found, what only you can answer, what to mend.

    Args:
        data: a DataFrame, or the path of a file.
        target: the column with the outcome.
        favourable: its cell, or a list of cells, that people hope for.

    Returns:
        The draft: its ``card`` as text, ``questions`` and ``problems``; `CardDraft.save` writes it.

    Raises:
        BadInput: in one line, where the table cannot be read or has no such column.
    """
    if not isinstance(target, str):
        raise BadInput(f"draft: target is {shown(target)}; the name of the column with the outcome is needed")
    listed = [favourable] if isinstance(favourable, str | int | float | np.generic) else list(favourable)
    cells = [_cell(v) for v in listed]
    orders: dict[str, list[str]] = {}
    if isinstance(data, pd.DataFrame):
        content, file = as_csv(data).encode(), CSV_KEY
        kinds = {str(n): kind for n, kind in data.dtypes.items() if isinstance(kind, pd.CategoricalDtype)}
        orders = {n: [_cell(v) for v in kind.categories] for n, kind in kinds.items() if kind.ordered}
    else:
        path = path_of(data, "draft", "data")
        content, file = _bytes_of(path, "draft"), path.name
    found = drafted(content, file, target, cells, orders)
    return CardDraft(found.card, found.questions, found.problems, found.rows, found.columns, content, file)


def dataset_of(data: Any, card: Any, store: Path) -> str:
    """What a plan calls this table: a data set's name, or the path of a card, kept in the store where it is no file."""
    if card is None:
        return _named(data, store)
    if isinstance(card, str | Path):
        path = path_of(card, "study", "card")
        if isinstance(data, str | Path) and path.is_file() and _is_its_own(path, Path(data)):
            return str(path.absolute())
    text, name, home = card_text(card)
    content, file = _content(data, text, home, name)
    return str(upload.keep(store, text, _encoded(content, text, name), file).absolute())


def _named(data: Any, store: Path) -> str:
    """A table without a card beside it: a name, the path of a card, a draft that holds its table."""
    if isinstance(data, CardDraft):
        return str(upload.keep(store, data.card, data.content, data.file).absolute())
    if isinstance(data, Mapping):
        return dataset_of(None, data, store)
    if isinstance(data, Path) or (isinstance(data, str) and data.endswith(".toml")):
        path = path_of(data, "study", "data")
        if path.suffix != ".toml":
            raise BadInput(f"study: data is {path.name}, a table; say what its columns mean: study(data, card)")
        return str(path.absolute())
    if isinstance(data, str):
        if slices.known(data) or data in plugins.names("datasets"):
            return data
        if Path(data).suffix:
            raise BadInput(f"study: data is {Path(data).name}, a table; say what its columns mean: study(data, card)")
        raise UnknownName(unknown("data set", data, plugins.names("datasets")) + ", or a card's path, or a DataFrame")
    if isinstance(data, pd.DataFrame):
        raise BadInput(
            "study: data is a DataFrame without a card; say what its columns mean, study(data, card), with a path or a "
            "dict; cfq_core.draft(data, target=..., favourable=...) drafts one"
        )
    raise BadInput(f"study: data is {shown(data)}; a DataFrame, a file, a card or the name of a data set is needed")


def _is_its_own(card: Path, table: Path) -> bool:
    """Whether a file is the one that a card names."""
    named = _keys(_text_of(card)).get("csv")
    return isinstance(named, str) and (card.parent / named).resolve() == table.expanduser().resolve()


# ---------------------------------------------------------------------- cards as text
def card_text(card: Any) -> tuple[str, str, Path]:
    """A card's text, its name in messages, and the folder in which the file lies that it names."""
    if isinstance(card, CardDraft):
        return card.card, DICT, Path()
    if isinstance(card, Mapping):
        head = {"csv": CSV_KEY, **({"title": card["name"]} if "name" in card else {}), **card}
        return as_toml(head), DICT, Path()
    path = path_of(card, "read_card", "card")
    return _text_of(path), path.name, path.parent


def _text_of(card: Path) -> str:
    return decoded(_bytes_of(card, "read_card"), Place(card.name), cards.MAX_CARD)


def _keys(text: str) -> dict[str, Any]:
    """Keys of a card; none where it is no TOML, which its reader then says."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def as_toml(card: Mapping[str, Any]) -> str:
    """A dict as TOML: plain values first, then each table, then each list of tables. None is left out."""
    plain = {k: v for k, v in card.items() if v is not None and not _is_table(v)}
    lines = [f"{_key(k)} = {_value(v, str(k))}" for k, v in plain.items()]
    for key, value in card.items():
        if not _is_table(value):
            continue
        several = not isinstance(value, Mapping)
        for one in value if several else [value]:
            if not isinstance(one, Mapping):
                raise BadCard(f"{DICT}: {key} holds {shown(one)}; a dict for each {key} is needed")
            lines += ["", f"[[{_key(key)}]]" if several else f"[{_key(key)}]"]
            lines += [f"{_key(k)} = {_value(v, f'{key}: {k}')}" for k, v in one.items() if v is not None]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value)
    )


def _key(key: Any) -> str:
    text = str(key)
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else json.dumps(text, ensure_ascii=False)


def _value(value: Any, where: str) -> str:
    """One value as TOML writes it; raises `BadCard` for what it has no form of."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return {True: "nan", False: "inf" if value > 0 else "-inf"}[math.isnan(value)]
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, date):
        return (value.date() if isinstance(value, datetime) else value).isoformat()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v, where)}" for k, v in value.items()) + "}"
    if isinstance(value, Iterable):
        return "[" + ", ".join(_value(v, where) for v in value) + "]"
    raise BadCard(f"{DICT}: {where} is {shown(value)}; text, a number, true or false, a list or a dict is needed")


def _cell(value: Any) -> str:
    """A cell as the text of a CSV has it."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


# ---------------------------------------------------------------------- tables as bytes
def _content(data: Any, text: str, home: Path, card: str) -> tuple[bytes | str, str]:
    """A table's text or bytes and its name in messages."""
    keys = _keys(text)
    if isinstance(data, pd.DataFrame):
        return as_csv(data, str(keys.get("delimiter", ",")), str(keys.get("decimal", "."))), FRAME
    if data is None:
        if not isinstance(keys.get("csv"), str) or not (home / keys["csv"]).is_file():
            raise BadCard(
                f"{card}: csv = {shown(keys.get('csv'))}: no such file here; give the table beside the card, as a "
                "DataFrame or a path"
            )
        return _bytes_of(home / keys["csv"], card), Path(keys["csv"]).name
    path = path_of(data, card, "data")
    return _bytes_of(path, card), path.name


def _encoded(content: bytes | str, text: str, card: str) -> bytes:
    """As the card says that its file is written."""
    encoding = str(_keys(text).get("encoding", "utf-8"))
    try:
        return content if isinstance(content, bytes) else content.encode(encoding)
    except (UnicodeEncodeError, LookupError) as problem:
        raise BadCard(f'{card}: encoding = "{encoding}" cannot write this table ({problem}); use "utf-8"') from None


def _bytes_of(path: Path, where: str) -> bytes:
    try:
        if path.stat().st_size > MAX_CSV:
            raise BadInput(f"{where}: {path} has {path.stat().st_size / 1e6:.0f} MB; at most {MAX_CSV / 1e6:g} MB")
        return path.read_bytes()
    except OSError as problem:
        raise BadInput(f"{where}: {path}: cannot be read ({problem.strerror})") from None
