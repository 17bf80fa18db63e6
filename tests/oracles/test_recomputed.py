"""Every measure of a stored study, recomputed by a program that shares nothing with ours but the stored actions.

From the raw table (scikit-learn's copy, or UCI's file), the exported ONNX files run by onnxruntime, and the rows that
were stored of each person before and after: split, encoding, costs, thresholds and measures are computed here anew.
Nothing of metrics, evidence or pipeline is imported. A measure that this program does not know fails it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from cfq_core.base.plugins import load
from cfq_core.base.streams import stream
from cfq_core.cli import cli

onnxruntime = pytest.importorskip("onnxruntime")

#: Not computed of evidence: what a run took, and its size (tests/laws and tests/export hold them).
NOT_OF_EVIDENCE = {"seconds", "size_bytes", "training_recourse_seconds", "on_the_fly_seconds"}
METHODS = "ptq,ptq_shift,qat_lsq,cfq_anchored"


# ---------------------------------------------------------------------- the raw tables
@dataclass(frozen=True)
class Raw:
    """Grid counts of every cell as a card counts them, outcomes, and the groups by the card's words."""

    values: np.ndarray
    outcome: np.ndarray


def diabetes() -> Raw:
    raw = load_diabetes(as_frame=True, scaled=False)
    step = {"bmi": 0.1, "bp": 0.01, "s2": 0.1, "s3": 0.1, "s4": 0.01, "s5": 0.0001}
    names = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    columns = [raw.data[n] - 1 if n == "sex" else np.rint(raw.data[n] / step.get(n, 1.0)) for n in names]
    return Raw(np.stack(columns, axis=1).astype(np.int64), (raw.target < raw.target.median()).to_numpy())


def german() -> Raw:
    path = Path(os.environ.get("CFQ_DATA_DIR", "")) / "german.data"
    if not path.is_file():
        pytest.skip("german.data is not on disk: set CFQ_DATA_DIR")
    rows = [line.split() for line in path.read_text().splitlines()]
    codes = [sorted({r[i] for r in rows}, key=lambda c: (len(c), c)) for i in range(20)]
    numbers = {1, 4, 12}  # duration, amount, age; all else is a code whose order is its level
    columns = [[int(r[i]) if i in numbers else codes[i].index(r[i]) for r in rows] for i in range(20)]
    return Raw(np.array(columns, np.int64).T, np.array([r[20] == "1" for r in rows]))


TABLES: dict[str, Callable[[], Raw]] = {"diabetes": diabetes, "german": german}


# ---------------------------------------------------------------------- the study, made by the command line
@pytest.fixture(scope="module", params=["diabetes", pytest.param("german", marks=pytest.mark.gate)])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    name, folder = request.param, tmp_path_factory.mktemp(f"recomputed_{request.param}")
    TABLES[name]()
    _cfq("run", "--dataset", name, "--methods", METHODS, "--bits", "2,3", "--seeds", "2", "--hidden", "16,8",
         "--people", "50", "--store", str(folder / "store"))  # fmt: skip
    return name, folder


def _cfq(*command: str) -> None:
    CliRunner().invoke(cli, command, catch_exceptions=False, standalone_mode=False)


def _rows(store: Path, query: str, *given: str) -> list[dict[str, Any]]:
    with sqlite3.connect(store / "studies.sqlite") as opened:
        opened.row_factory = sqlite3.Row
        return [dict(r) for r in opened.execute(query, given)]


def _arrays(store: Path, owner: str) -> dict[str, np.ndarray]:
    (found,) = _rows(store, "SELECT path FROM artifact WHERE owner_id = ? AND name = 'people'", owner)
    with np.load(store / found["path"]) as stored:
        return {k: stored[k] for k in stored.files}


def _logits(file: Path, inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: inputs})[0][:, 0]


# ---------------------------------------------------------------------- one run, seen again
@dataclass(frozen=True)
class Again:
    """One run recomputed."""

    raw: Raw
    features: Any  # what the data set's card says of each column: kind, move, weight, log, step, bands
    seed: int
    teacher: Path
    student: Path
    promised: dict[str, np.ndarray]
    seen: dict[str, np.ndarray]

    @cached_property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, outcome = np.arange(len(self.raw.outcome)), self.raw.outcome
        cuts = ((0.3, "split/test"), (0.1, "split/valid"))
        rest, test = train_test_split(rows, test_size=0.3, random_state=stream(self.seed, cuts[0][1]), stratify=outcome)
        train, valid = train_test_split(
            rest, test_size=0.1, random_state=stream(self.seed, cuts[1][1]), stratify=outcome[rest]
        )
        return np.sort(train), np.sort(valid), np.sort(test)

    def number(self, i: int, counts: np.ndarray) -> np.ndarray:
        f = self.features[i]
        units = counts * (1.0 if f.levels else f.step)
        return np.log1p(units) if f.log else units

    def inputs(self, values: np.ndarray) -> np.ndarray:
        columns = []
        for i, f in enumerate(self.features):
            if f.kind == "category":
                columns.append(np.eye(len(f.levels))[values[:, i]])
                continue
            own = self.number(i, self.raw.values[self.parts[0], i])
            columns.append(((self.number(i, values[:, i]) - own.mean()) / (own.std() or 1.0))[:, None])
        return np.concatenate(columns, axis=1)

    def moves(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Signed moves in cost units, an axis for each level switched to; their L1 norm is the cost."""
        axes = []
        for i, f in enumerate(self.features):
            if f.kind == "category":
                to = np.eye(len(f.levels))[after[:, i]] * f.weight
                axes.append(to * (before[:, i] != after[:, i])[:, None])
                continue
            own = self.number(i, self.raw.values[self.parts[0], i])
            unit = np.median(np.abs(own - np.median(own))) or own.std() or 1.0
            moved = self.number(i, after[:, i]) - self.number(i, before[:, i])
            axes.append((f.weight * moved / unit)[:, None])
        return np.concatenate(axes, axis=1)

    def groups(self) -> list[np.ndarray]:
        """Members among the test rows of every level of each protected column."""
        out, test = [], self.raw.values[self.parts[2]]
        for i, f in enumerate(self.features):
            if not f.protected:
                continue
            column = test[:, i] * (1.0 if f.levels else f.step)
            label = test[:, i] if f.levels else np.searchsorted(np.array(f.bands), column, side="right")
            out += [label == level for level in np.unique(label)]
        return out

    # ------------------------------------------------------------------ what was seen
    def measures(self, matched: bool, threshold: float = 0.0, searched: bool = True) -> dict[str, float | None]:
        """``searched``: the student's own actions were looked for at this threshold."""
        p, s, prefix = self.promised, self.seen, "matched_" if matched else ""
        test = self.parts[2]
        values, told = self.raw.values, p["why"] == 0
        moved = threshold
        f, q = (
            _logits(self.teacher, self.inputs(values[test])),
            _logits(self.student, self.inputs(values[test])) - moved,
        )
        f_at = _logits(self.teacher, self.inputs(p["after"]))
        q_at = _logits(self.student, self.inputs(p["after"])) - moved
        person, outcome = p["person"], self.raw.outcome[test]
        assert (values[test][person] == p["before"]).all()
        assert (f[person] <= 0).all()
        assert (f_at[told] >= 0.2).all()
        own = p["before"].copy()
        asked = s["reaudited"]
        own[asked] = s[f"{prefix}student_after"]
        again = asked & s[f"{prefix}student_has_recourse"]
        assert not searched or (_logits(self.student, self.inputs(own[again])) - moved >= 0.2 - 1e-9).all()
        mine, theirs = self.moves(p["before"], p["after"]), self.moves(p["before"], own)
        cost, student_cost = np.abs(mine).sum(1), np.abs(theirs).sum(1)
        both = again & told
        change = (student_cost[both] - cost[both]) / cost[both]
        lengths = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
        angle = both & (lengths > 0)
        near = np.abs(f) < 0.5
        condition = np.abs(q_at - f_at)[told] < f_at[told]
        proved = p["proved"] & s[f"{prefix}proved"]
        low = s["logit_lower_bound_region"] - moved
        rounding = s.get("logit_lower_bound_rounding", np.full(len(low), -np.inf)) - moved
        broken = ~(q_at > 0)
        return {
            "accuracy": _mean((q > 0) == outcome),
            "accuracy_drop": _mean((f > 0) == outcome) - _mean((q > 0) == outcome),
            "agreement": _mean((f > 0) == (q > 0)),
            "approval_shift": _mean(q > 0) - _mean(f > 0),
            "boundary_flip_rate": _mean((f > 0)[near] != (q > 0)[near]),
            "certified": _mean(condition | (rounding[told] > 0)),
            "crg_above": _mean(change > 1e-3),
            "crg_abs": _mean(np.abs(change)),
            "crg_below": _mean(change < -1e-3),
            "crg_mean": _mean(change),
            "crg_median": float(np.median(change)) if len(change) else None,
            "crg_proved": _mean(np.abs((student_cost - cost)[both & proved] / cost[both & proved])),
            "crg_ratio": float(student_cost[both].sum() / cost[both].sum() - 1) if both.any() else None,
            "direction": _mean((mine * theirs).sum(1)[angle] / lengths[angle]),
            "flip_rate": _mean((f > 0) != (q > 0)),
            "frr": _mean(told),
            "logit_shift": _mean(q - f),
            "logit_shift_at": _mean((q_at - f_at)[told]),
            "logit_shift_sd": float((q - f).std()),
            "margin_condition": _mean(condition),
            "margin_transferred": _mean((q_at[told] > 0) & ~condition),
            "proved": _mean(proved[asked]),
            "recourse_cost": _mean(cost[told]),
            "recourse_lost": _mean(~again[asked & told]),
            "region": _mean(low[told] > 0),
            "vd": _mean(broken[told]),
            "windfall": _mean(q[person] > 0),
            **self._worst(person[told], broken[told]),
        }

    def _worst(self, person: np.ndarray, broken: np.ndarray) -> dict[str, float | None]:
        """The worst group, and by own deals of the outcomes to the people what chance makes of the largest of them."""
        inside = np.array([m[person] for m in self.groups() if m[person].sum() >= 30], dtype=float)
        if not len(inside):
            return dict.fromkeys(("worst_group_vd", "worst_group_vd_by_chance", "worst_group_vd_p"))
        random, share = np.random.default_rng(0), inside / inside.sum(1, keepdims=True)
        value = float((share @ broken).max())
        dealt = np.array([(share @ random.permutation(broken)).max() for _ in range(2000)])
        chance, p = float(dealt.mean()), float((dealt >= value - 1e-9).mean())
        return {"worst_group_vd": value, "worst_group_vd_by_chance": chance, "worst_group_vd_p": p}

    def counts_around(self, one: float, other: float) -> bool:
        """Whether the teacher's number of approved validation rows lies between the student's at two thresholds."""
        rows = self.inputs(self.raw.values[self.parts[1]])
        logits, wanted = _logits(self.student, rows), int((_logits(self.teacher, rows) > 0).sum())
        few, many = sorted(int((logits > t).sum()) for t in (one, other))
        return few < wanted < many

    def matching_shift(self) -> float:
        """What is left of the shift on validation rows, where no threshold comes nearer to the teacher's number."""
        rows = self.inputs(self.raw.values[self.parts[1]])
        logits, wanted = _logits(self.student, rows), int((_logits(self.teacher, rows) > 0).sum())
        cuts = np.concatenate([[logits.min() - 1], np.sort(logits)])
        nearest = min(abs(int((logits > c).sum()) - wanted) for c in cuts)
        left = int((logits > float(self.seen["threshold"])).sum()) - wanted
        assert abs(left) == nearest
        return left / len(logits)


#: Of random deals, theirs and ours.
LOOSE = {"worst_group_vd_by_chance": 0.01, "worst_group_vd_p": 0.06}


def _mean(of: np.ndarray) -> float | None:
    return float(np.mean(of)) if len(of) else None


# ---------------------------------------------------------------------- the comparison
def test_every_measure_of_a_stored_study_is_what_another_program_finds(store: tuple[str, Path]) -> None:
    name, folder = store
    raw, features, compared = TABLES[name](), load("datasets", name).schema.features, 0
    for run in _rows(folder / "store", "SELECT * FROM run"):
        student, teacher = folder / f"{run['id']}.onnx", folder / f"{run['teacher_id']}.onnx"
        _cfq("export", run["id"], "--onnx", str(student), "--teacher", str(teacher), "--form", "exact",
             "--store", str(folder / "store"))  # fmt: skip
        seen = _arrays(folder / "store", run["id"]) | {"threshold": np.array(run["threshold"])}
        again = Again(raw, features, run["seed"], teacher, student, _arrays(folder / "store", run["teacher_id"]), seen)
        stored = {
            m["name"]: m["value"] for m in _rows(folder / "store", "SELECT * FROM measure WHERE run_id = ?", run["id"])
        }
        expected = again.measures(matched=False) | {"matching_shift": again.matching_shift()}
        moved = again.measures(matched=True, threshold=run["threshold"])
        expected |= {f"{k}_matched": v for k, v in moved.items()}
        if (other := stored.get("other_threshold")) is not None:
            assert again.counts_around(run["threshold"], other), "the teacher's number lies between the two"
            of_tie = again.measures(matched=True, threshold=other, searched=False)
            expected |= {f"{k}_tied": v for k, v in of_tie.items()} | {"other_threshold": other}
        unknown = set(stored) - set(expected) - NOT_OF_EVIDENCE
        assert not unknown, f"this program does not know {unknown}"
        for measure, value in stored.items():
            if measure in NOT_OF_EVIDENCE:
                continue
            off = LOOSE.get(measure.removesuffix("_matched").removesuffix("_tied"), 2e-9)
            assert value == (None if expected[measure] is None else pytest.approx(expected[measure], abs=off)), (
                run["method"], run["budget"], measure, json.dumps({k: str(v) for k, v in expected.items()}),
            )  # fmt: skip
            compared += 1
    assert compared >= 8 * 2 * 40
