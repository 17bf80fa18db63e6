"""Random forests: whose advice holds on the same forest after its numbers are rounded.

    python3 -m venv FORESTS; FORESTS/bin/pip install torch==2.13.0 'numpy<2.5' pandas scikit-learn scipy jaxtyping \\
        pooch safetensors tqdm click onnx onnxruntime skl2onnx treecf==0.3.2
    FORESTS/bin/python -m benchmarks.peer_forests [--people 50] [--only NAME ...]
    python3.12 -m venv OCEAN; OCEAN/bin/pip install torch==2.13.0 jaxtyping pooch safetensors tqdm click onnx \\
        onnxruntime skl2onnx oceanpy==2.0.7
    OCEAN/bin/python -m benchmarks.peer_forests --only "OCEAN CP"

Adult; a teacher is a forest of 30 trees of depth 6 on the project's encoding. Everybody is asked about the same denied
test people, of whom every point that they may reach was computed and one is approved: the least of those costs is what
answers are compared with. Our search is given the forest as an ONNX file and sees its outputs only; the others read
its trees. Students: the same trees with thresholds and leaves on a grid of 2^b values, or in half precision.
Adds to benchmarks/numbers/peers.json, a library and seed at a time: what is there is not made again.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice, product
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier

from benchmarks import peer_forest_tables, peer_ocean, peer_tables, peer_treecf
from benchmarks.peer_question import Answers
from cfq_core import pipeline
from cfq_core.base.seeds import repeatable
from cfq_core.export.audit import GRADIENT_FREE
from cfq_core.models.blackbox import BlackBox
from cfq_core.models.reading import Reading
from cfq_core.recourse.find import find_recourse
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.study.plan import table_of
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Table
from tests.oracles.legality import Rules, cell, frame

TABLE, SEEDS = "adult", (10, 11, 12)
TREES, DEPTH = 30, 6
#: The same forest as it would be deployed: bits of thresholds and leaves, or half precision.
STUDENTS = ("float16", "8", "4")
LEAST = peer_forest_tables.LEAST  # computes all that a person may reach

Found = dict[str, Any]


@dataclass(frozen=True)
class ForestAsked:
    """One forest, the denied people who ask, the rules they live under, and the forests that come after."""

    table: Table
    forest: RandomForestClassifier
    query: RecourseQuery
    rules: Rules
    students: dict[str, RandomForestClassifier]
    training: np.ndarray  # encoded
    seed: int

    @property
    def people(self) -> np.ndarray:
        """Everybody in exact integer form."""
        return self.query.values

    @property
    def encoding(self) -> Encoding:
        """From people to the forest's columns."""
        return self.query.encoding


ForestLibrary = Callable[[ForestAsked], tuple[Answers, list[bool]]]  # with what is claimed to be the cheapest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50, help="a seed")
    parser.add_argument("--only", nargs="*", help="libraries by name")
    parser.add_argument("--out", type=Path, default=peer_tables.OUT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = peer_tables.read(given.out)
    for seed in SEEDS:
        asked = question(seed, given.people)
        found.setdefault("forest_students", {})[str(seed)] = shifts(asked)
        for name in (n for n in LIBRARIES if not given.only or n in given.only):
            compare(found, asked, name)
            peer_tables.write(found, given.out)
            print(name, seed, found["not_run"].get(name, ""), flush=True)


# ---------------------------------------------------------------------- forests


def question(seed: int, people: int) -> ForestAsked:
    """A forest of the seed's training rows, and denied test people whom it approves somewhere within reach."""
    d = pipeline.prepare(table_of(TABLE), seed)
    training = d.inputs(d.split.train).astype(np.float32)
    forest = RandomForestClassifier(TREES, max_depth=DEPTH, random_state=seed).fit(
        training, d.table.outcome[d.split.train]
    )
    rules = Rules.read(d.table.schema, frame(d.table.schema, d.table.values[d.split.train]))
    test = d.table.values[d.split.test]
    denied = test[margin(forest, d.encoding, test) <= 0]
    students = {s: rounded(forest, training, s) for s in STUDENTS}
    asked = ForestAsked(d.table, forest, RecourseQuery(denied, d.encoding, d.actions), rules, students, training, seed)
    able = islice((i for i in range(len(denied)) if cheapest(asked, i) is not None), people)
    return replace(asked, query=asked.query.take(np.array(list(able))))


def margin(forest: RandomForestClassifier, encoding: Encoding, values: np.ndarray) -> np.ndarray:
    """Probability of the favourable outcome less one half: above 0 is approved."""
    return forest.predict_proba(encoding.encode(values).astype(np.float32))[:, 1] - 0.5


def rounded(forest: RandomForestClassifier, training: np.ndarray, how: str) -> RandomForestClassifier:
    """The same trees with every threshold and leaf in half precision, or on an even grid of 2^b values.

    The grid of a threshold goes from the least to the largest value of its column in the training rows, that of a leaf
    from 0 to 1.
    """
    out = copy.deepcopy(forest)
    low, high = training.min(0), training.max(0)
    for tree in (e.tree_ for e in out.estimators_):
        inner = tree.children_left >= 0
        column = tree.feature[inner]
        share = tree.value[:, 0, 1] / tree.value[:, 0].sum(1)
        if how == "float16":
            tree.threshold[inner] = tree.threshold[inner].astype(np.float16)
            share = share.astype(np.float16).astype(float)
        else:
            steps = 2 ** int(how) - 1
            span = np.where(high > low, high - low, 1)[column]
            place = np.rint((tree.threshold[inner] - low[column]) / span * steps)
            tree.threshold[inner] = low[column] + span * place / steps
            share = np.rint(share * steps) / steps
        tree.value[:, 0, 0], tree.value[:, 0, 1] = 1 - share, share
    return out


def shifts(asked: ForestAsked) -> Found:
    """The forest's accuracy, and of each student its approval shift on test rows: as it is, and at a matched threshold.

    The matched threshold approves as large a share of the validation rows as the forest does.
    """
    d = pipeline.prepare(asked.table, asked.seed)
    valid, test = (d.table.values[rows] for rows in (d.split.valid, d.split.test))
    own = margin(asked.forest, asked.encoding, test) > 0
    approved = (margin(asked.forest, asked.encoding, valid) > 0).mean()
    right = float((own == d.table.outcome[d.split.test]).mean())
    out: Found = {"teacher": {"accuracy": right, "approved": float(own.mean())}}
    for name, student in asked.students.items():
        its = margin(student, asked.encoding, test)
        cut = float(np.quantile(margin(student, asked.encoding, valid), 1 - approved))
        moved = [float((its > at).mean() - own.mean()) for at in (0.0, cut)]
        out[name] = {"cut": cut, "shift": moved[0], "shift_matched": moved[1]}
    return out


# ---------------------------------------------------------------------- libraries


def cheapest(asked: ForestAsked, i: int) -> np.ndarray | None:
    """The cheapest approved point of all that a person may reach, by computing every one; None where there is none."""
    schema, own = asked.table.schema, asked.people[i]
    raw = [cell(f, int(k)) for f, k in zip(schema.features, own, strict=True)]
    every = [asked.rules.choices(f, r) for f, r in zip(schema.features, raw, strict=True)]
    price = [
        dict(zip(c, asked.rules.price(f, r, c), strict=True))
        for f, r, c in zip(schema.features, raw, every, strict=True)
    ]
    points = np.array(list(product(*every)))
    cost = sum(np.vectorize(p.get, otypes=[float])(points[:, k]) for k, p in enumerate(price) if len(p) > 1)
    approved = np.flatnonzero(margin(asked.forest, asked.encoding, points) > 0)
    return points[approved[np.argmin(np.asarray(cost)[approved])]] if len(approved) else None


def every_point(asked: ForestAsked) -> tuple[Answers, list[bool]]:
    """All that can be reached is computed."""
    started = time.process_time()
    rows = [cheapest(asked, i) for i in range(len(asked.people))]
    return Answers(rows, time.process_time() - started), [row is not None for row in rows]


class OnnxForest:
    """A forest as onnxruntime computes it: people in, log odds out."""

    def __init__(self, forest: RandomForestClassifier, encoding: Encoding) -> None:
        import onnxruntime
        from skl2onnx import to_onnx

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        sample = np.zeros((1, encoding.width), np.float32)
        file = to_onnx(forest, sample, options={id(forest): {"zipmap": False}}, target_opset=17)
        self.session = onnxruntime.InferenceSession(file.SerializeToString(), options, ["CPUExecutionProvider"])
        self.name, self.encoding = self.session.get_inputs()[0].name, encoding

    def logits(self, values: np.ndarray) -> np.ndarray:
        """Above 0 is approved."""
        inputs = self.encoding.encode(values).astype(np.float32)
        p = self.session.run(None, {self.name: inputs})[1][:, 1].astype(float).clip(1e-7, 1 - 1e-7)
        return np.log(p / (1 - p))


def blind(kappa: float) -> ForestLibrary:
    """Our search without gradients, as `cfq audit` asks a file that is no list of layers; everybody at once."""

    def ask(asked: ForestAsked) -> tuple[Answers, list[bool]]:
        model = BlackBox(cast(Reading, OnnxForest(asked.forest, asked.encoding)), asked.encoding)
        find_recourse(model, [asked.query.take(slice(0, 2))], GRADIENT_FREE, kappa)
        started = time.process_time()
        found = find_recourse(model, [asked.query], GRADIENT_FREE, kappa)
        cpu = time.process_time() - started
        rows = [a if ok else None for a, ok in zip(found.after, found.has_recourse, strict=True)]
        return Answers(rows, cpu), [False] * len(rows)

    return ask


#: Name in the table, the package it needs (None: ours), and how it is asked.
LIBRARIES: dict[str, tuple[str | None, ForestLibrary]] = {
    LEAST: (None, every_point),
    "blind search, kappa 0": (None, blind(0.0)),
    "blind search, kappa 0.2": (None, blind(0.2)),
    "treecf genetic": ("treecf", peer_treecf.treecf("genetic")),
    "treecf exact": ("treecf", peer_treecf.treecf("exact")),
    "treecf exact, cold": ("treecf", peer_treecf.treecf("exact", warm_start=False)),
    "OCEAN CP": ("oceanpy", peer_ocean.ocean),
}


def compare(found: Found, asked: ForestAsked, name: str) -> None:
    """One library on one forest, unless it is there or fell over before."""
    there = found.setdefault("forests", [])
    if name in found["not_run"] or any((r["library"], r["seed"]) == (name, asked.seed) for r in there):
        return
    package, library = LIBRARIES[name]
    try:
        with repeatable():
            answers, proved = library(asked)
        made_by = "" if package is None else version(package)
    except Exception as error:  # a library that falls over is told, not hidden
        found["not_run"][name] = {"version": peer_tables.version_of(package), "why": peer_tables.why(error)}
    else:
        there.append({"library": name, "version": made_by, "seed": asked.seed} | judged(asked, answers, proved))


def judged(asked: ForestAsked, answers: Answers, proved: list[bool]) -> Found:
    """What answers are worth once they stand on the grid, a person at a time."""
    schema = asked.table.schema
    before = frame(schema, asked.people)
    out: Found = {"cpu": round(answers.cpu, 4), "answered": [], "legal": [], "cost": [], "teacher": [],
                  "proved": proved, "students": {name: [] for name in asked.students}}  # fmt: skip
    for i, row in enumerate(answers.rows):
        own = before.iloc[[i]].reset_index(drop=True)
        after = None if row is None else frame(schema, row[None])
        legal = after is not None and not asked.rules.violations(own, after)
        out["answered"].append(row is not None)
        out["legal"].append(legal)
        out["cost"].append(round(float(asked.rules.cost(own, after)[0]), 4) if legal else None)
        out["teacher"].append(_margin(asked.forest, asked.encoding, row))
        for name, student in asked.students.items():
            out["students"][name].append(_margin(student, asked.encoding, row))
    return out


def _margin(forest: RandomForestClassifier, encoding: Encoding, row: np.ndarray | None) -> float | None:
    return None if row is None else round(float(margin(forest, encoding, row[None])[0]), 6)


if __name__ == "__main__":
    with repeatable():
        main()
