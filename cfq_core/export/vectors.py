"""The people a file carries, so that whoever deploys it can check it (`verify.py`).

They are made up: every cell is drawn from its column of the table by itself, so that no row is anybody's. Half of them
are those nearest to the boundary of some thousands, where a runtime that rounds otherwise would show.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from cfq_core.base.seeds import numpy_stream
from cfq_core.tables.encode import Values
from cfq_core.tables.schema import Schema, Table

CARRIED = 32
DRAWN = 4096


def made_people(table: Table, rows: Int[np.ndarray, "n"], seed: int) -> Values:
    """People who are nobody's row, drawn column by column from some rows of a table."""
    random, values = numpy_stream(seed, "export/vectors"), table.values[rows]
    return np.stack([random.choice(values[:, i], DRAWN) for i in range(values.shape[1])], axis=1)


def chosen(logits: Float[np.ndarray, "n"]) -> Int[np.ndarray, "k"]:
    """Of some people: the nearest to the boundary on either side, and as many who come first."""
    near = np.argsort(np.abs(logits), kind="stable")
    sides = [near[logits[near] > 0], near[logits[near] <= 0]]
    picked: list[int] = []
    for some in (
        sides[0][: CARRIED // 4],
        sides[1][: CARRIED // 4],
        *(np.sort(s)[: CARRIED // 4] for s in sides),
        near,
    ):
        picked += [int(i) for i in some if int(i) not in picked][: CARRIED - len(picked)]
    return np.sort(np.array(picked, np.int64))


def text(schema: Schema, values: Values, logits: Float[np.ndarray, "n"]) -> str:
    """What the file's metadata holds: columns in raw units and words, the audited logits, and the decisions."""
    columns: dict[str, list[Any]] = {}
    for i, f in enumerate(schema.features):
        if f.aside:
            continue
        columns[f.name] = [f.levels[c] for c in values[:, i]] if f.levels else f.raw(values[:, i]).tolist()
    held = {"columns": columns, "logits": logits.tolist(), "approved": (logits > 0).tolist()}
    return json.dumps(held, separators=(",", ":"), allow_nan=False)
