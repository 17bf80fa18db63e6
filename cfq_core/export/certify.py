"""Promises of a stored run that anybody can check again: for each person a box in which both files approve everybody.

A box grows cell by cell from what the person was told, along every number that they may change, as long as FP32 and
the shipped integers approve all of it, run as the verifier runs them (`models.verify_promises`, which decides here
too). People whose promise the student breaks get no certificate; they are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cfq_core.base.errors import BadInput
from cfq_core.base.whole import whole_file
from cfq_core.export.stored import StoredRun, export_student, export_teacher
from cfq_core.models import verify_promises as verifier
from cfq_core.study.store import Store

CELLS = 256  # of a box, at most, unless asked for more
ROUNDS = 16  # times a side may grow
AT_ONCE = 200_000  # cells run together


@dataclass(frozen=True)
class Certified:
    """What was written."""

    path: Path
    promised: int  # people the teacher told what to do
    certified: int  # whose box holds on both files
    cells: float  # mean size of a box
    digest: str  # of the last line: publish it
    files: Mapping[str, Path]

    @property
    def words(self) -> str:
        """For a reader."""
        files = ", ".join(f"{role} {path}" for role, path in self.files.items())
        return (
            f"{self.path}: {self.certified} of {self.promised} promises hold on both files, in boxes of "
            f"{self.cells:.1f} cells on average; publish the digest {self.digest}\n  about {files}"
        )

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        plain = {"path": str(self.path), "promised": self.promised, "certified": self.certified, "cells": self.cells}
        return plain | {"digest": self.digest, "files": {k: str(v) for k, v in self.files.items()}}


def certify(store: Store, run: StoredRun, path: Path, files: Mapping[str, Path], most: int = CELLS) -> Certified:
    """Write the promises of a run; ``files``: of the student and the teacher, made where they are not there.

    Raises `BadInput` where a file is another run's, `ParityFailure` where one cannot be written.
    """
    _write_missing(run, files)
    models = {role: verifier.Model(files[role].read_bytes()) for role in verifier.ROLES}
    for role, model in models.items():
        if model.role != role or model.inputs != models["teacher"].inputs:
            raise BadInput(f"{files[role]}: is not the {role} of run {run.row['id']}, or takes other inputs")
    told = store.arrays(run.row["teacher_id"], "people")
    asked = np.flatnonzero(told["why"] == 0)
    before, after = (told[k][asked].astype(np.int64) for k in ("before", "after"))
    low, high = _grown(run, models, before, after, most)
    seen = _seen(run)
    logits = {role: _least(model, low[:, seen], high[:, seen]) for role, model in models.items()}
    kept = np.flatnonzero(np.min(list(logits.values()), axis=0) > 0)
    before, after, low, high = (ends[:, seen] for ends in (before, after, low, high))  # what no model sees is no input
    head = {
        "format": verifier.FORMAT, "files": {role: m.sha256 for role, m in models.items()},
        "inputs": models["teacher"].inputs, "kappa": float(run.kappa),
        "moves": [_move(run, i, run.design.actions.schema.features[i].move) for i in seen],
        "run": run.row["id"], "promised": len(asked), "promises": len(kept),
    }  # fmt: skip
    lines = [
        {
            "number": n, "person": int(told["person"][asked[k]]),
            "before": before[k].tolist(), "after": after[k].tolist(), "low": low[k].tolist(), "high": high[k].tolist(),
            "logits": {role: round(float(v[k]), 9) for role, v in logits.items()},
        }
        for n, k in enumerate(kept, 1)
    ]  # fmt: skip
    last = _write(path, head, lines)
    size = float(np.mean([verifier.size(low[k], high[k]) for k in kept])) if len(kept) else 0.0
    return Certified(path, len(asked), len(kept), size, last, files)


def _write_missing(run: StoredRun, files: Mapping[str, Path]) -> None:
    for role, write in (("student", export_student), ("teacher", export_teacher)):
        if not files[role].is_file():
            write(run, files[role])


def _seen(run: StoredRun) -> list[int]:
    """Places of the features that models see."""
    return [i for i, f in enumerate(run.design.table.schema.features) if not f.aside]


def _move(run: StoredRun, i: int, move: str) -> str:
    """Which way a feature may go; what follows from others goes with them."""
    actions = run.design.actions
    if i in actions.followers:
        return "any"
    return move if i in (*actions.numbers, *actions.switches) else "fixed"


def _grown(
    run: StoredRun, models: Mapping[str, verifier.Model], before: np.ndarray, after: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper cells of each person's box: one side of all boxes at a time, kept where everybody is approved."""
    low, high, actions, seen = after.copy(), after.copy(), run.design.actions, _seen(run)
    for _ in range(ROUNDS):
        grew = False
        for i in actions.numbers:
            ends = actions.box(i, before)
            for step, side, other in ((-1, low, high), (1, high, low)):
                there = side[:, i] + step
                fits = (there >= ends[0]) & (there <= ends[1])
                sizes = np.prod(high - low + 1, axis=1) // (high - low + 1)[:, i] * (high - low + 2)[:, i]
                rows = np.flatnonzero(fits & (sizes <= most))
                slabs = side[rows].copy(), other[rows].copy()
                for slab in slabs:
                    slab[:, i] = there[rows]
                pair = slabs if step < 0 else slabs[::-1]
                boxes = [end[:, seen] for end in pair]
                holds = np.min([_least(m, *boxes) for m in models.values()], axis=0) > 0 if len(rows) else []
                side[rows[holds], i] = there[rows[holds]]
                grew |= bool(np.any(holds))
        if not grew:
            break
    return low, high


def _least(model: verifier.Model, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The least logit over each box."""
    out, start = np.empty(len(low)), 0
    while start < len(low):
        parts: list[np.ndarray] = []
        end = start
        while end < len(low) and sum(map(len, parts)) < AT_ONCE:
            parts.append(verifier.cells(low[end].tolist(), high[end].tolist()))
            end += 1
        logits = model.least(np.concatenate(parts))
        edges = np.cumsum([0, *(len(p) for p in parts[:-1])])
        out[start:end] = np.minimum.reduceat(logits, edges)
        start = end
    return out


def _write(path: Path, head: dict[str, Any], lines: Sequence[dict[str, Any]]) -> str:
    last = verifier.digest("", head)
    with whole_file(path) as file:
        file.write(verifier.canonical(head) + b"\n")
        for line in lines:
            last = verifier.digest(last, line)
            file.write(verifier.canonical(line | {"digest": last}) + b"\n")
        end = {"end": len(lines)}
        last = verifier.digest(last, end)
        file.write(verifier.canonical(end | {"digest": last}) + b"\n")
    return last
