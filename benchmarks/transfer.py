"""Promises from anywhere: which method keeps what search, proof, gradient steps or chance told a person?

    python -m benchmarks.transfer --store data/gallery [adult compas german] [--people 200]

Takes the teachers and students of a store's study of each table (the newest that has them; in the gallery three seeds
each) and makes promises to denied test people anew: by the search, exactly (`recourse/exact.py`, a tenth of the
people), by projected gradient steps (K = 20, numbers only), by the library DiCE (its random method, a tenth of the
people, those of its answers that are legal; where `dice-ml` is installed) and as random legal actions, each with a
margin of 0, 0.2 and 1 logits. Two extras are trained here: distillation with the paper's outcome term (weight 0.5, no
margin, uniform bits, focus 0.9), and the paper's CFQ on gradient recourse made anew in each step (K = 10), as the
paper trains it.
Writes benchmarks/numbers/transfer.json, a seed at a time: what is there is not made again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from scipy.stats import t

from benchmarks.search_quality import Case
from benchmarks.search_speed import Dice, dice_frame, raw_frame
from cfq_core import pipeline
from cfq_core.base.seeds import numpy_stream, repeatable
from cfq_core.methods.table import OUTCOME
from cfq_core.quant.quantized import QuantStack
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.pgd import Pgd
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.recourse.search import Search
from cfq_core.study.models import student_of, teacher_of
from cfq_core.study.plan import table_of
from cfq_core.study.store import Row, Store
from cfq_core.training.finetune import QatConfig, Schedule, finetune
from cfq_core.training.losses import Weights
from cfq_core.training.online_recourse import OnlineRecourse
from tests.oracles.legality import Rules, count, frame

OUT = Path(__file__).parent / "numbers" / "transfer.json"
METHODS = ("ptq", "ptq_measured", "adaround", "qat_lsq", "qat_distill", "cf_ptq", "cfq", "cfq_anchored")
DISTILL_OUTCOME = QatConfig(Weights(task=0.0, distill=0.5, outcome=0.5, focus=0.9))
KAPPAS = (0.0, 0.2, 1.0)
EXACT_SHARE = 10  # one in so many people is proved
DRAWS = 64  # random legal rows a person; the first that the teacher approves by the margin is told
BITS = (2.0, 3.0, 4.0)
SHIFT = "approval shift"  # on test rows, in place of a source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=["german", "compas", "adult"])
    parser.add_argument("--store", type=Path, default=Path("data/gallery"))
    parser.add_argument("--people", type=int, default=200)
    given = parser.parse_args()
    found: dict[str, Any] = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else {}
    store = Store.for_reading(given.store)
    for name in given.datasets:
        study = next(
            s for s in store.studies() if s["plan"]["datasets"] == [name] and "cfq_anchored" in s["plan"]["methods"]
        )
        for teacher in store.teachers(study["id"]):
            seed = str(teacher["seed"])
            if seed not in found.setdefault(name, {}):
                found[name][seed] = of_teacher(store, study["id"], name, teacher, given.people)
                OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
                print(name, seed, flush=True)
    store.close()


def of_teacher(store: Store, study: str, name: str, teacher: Row, people: int) -> list[list[Any]]:
    """Rows of (source, kappa, method, bits, n, share broken, the same at the matched threshold); first the shifts."""
    setting = pipeline.Setting(people=people)
    with repeatable():
        stack = teacher_of(store.arrays(teacher["id"], "weights"))
        design = pipeline.prepare(table_of(name), teacher["seed"])
        (p,) = pipeline.training_recourse(pipeline.recourse_for(stack, [design], setting), setting)
        models = {**_stored(store, study, teacher["id"]), **_extras(p)}
        moved = {key: pipeline.matching_threshold(p, model, 0) for key, model in models.items()}
        out: list[list[Any]] = []
        test = p.design.table.values[p.design.split.test]
        for (method, bits), model in models.items():
            q, granted = logits64(model, 0, p.design.encoding, test), (p.logits > 0).mean()
            shifts = [float((q > cut).mean() - granted) for cut in (0.0, moved[method, bits])]
            out.append([SHIFT, 0.0, method, bits, len(test), *shifts])
        for source, kappa, after in _promises(p):
            for (method, bits), model in models.items():
                at = logits64(model, 0, p.design.encoding, after)
                broken = [float((at <= cut).mean()) if len(at) else None for cut in (0.0, moved[method, bits])]
                out.append([source, kappa, method, bits, len(at), *broken])
    return out


def _stored(store: Store, study: str, teacher: str) -> dict[tuple[str, float], QuantStack]:
    runs = (r for r in store.runs(study) if r["teacher_id"] == teacher and r["method"] in METHODS)
    return {(r["method"], r["budget"]): student_of(store.arrays(r["id"], "weights")) for r in runs}


def _extras(p: pipeline.TeacherRecourse) -> dict[tuple[str, float], QuantStack]:
    """The two variants that are no methods of the product, at uniform bits."""
    data, layers = pipeline.training_data_of([p]), len(p.teacher.weights)
    plans = torch.tensor([[int(b)] * layers for b in BITS])
    movable = torch.zeros(data.inputs.shape[2])
    movable[[p.design.encoding.starts[i] for i in p.design.actions.numbers]] = 1.0
    out = {}
    for name, config, online in (
        ("distill + outcome", DISTILL_OUTCOME, None),
        ("cfq, gradient recourse", OUTCOME, OnlineRecourse(movable)),
    ):
        made = finetune(data, [0] * len(BITS), plans, [config] * len(BITS), Schedule(most_steps=1000), online)
        out |= {(name, b): made.take([i]) for i, b in enumerate(BITS)}
    return out


def _promises(p: pipeline.TeacherRecourse) -> Iterator[tuple[str, float, np.ndarray]]:
    """By source and margin: where the people who have such an action would go."""
    before = p.recourse.before
    dice = _dice(p, before[::EXACT_SHARE])
    for kappa in KAPPAS:
        for source, solver, of in (
            ("search", Search(), before), ("exact", Exact(), before[::EXACT_SHARE]), ("PGD, K = 20", Pgd(), before),
        ):  # fmt: skip
            found = find_recourse(p.teacher, [RecourseQuery(of, p.design.encoding, p.design.actions)], solver, kappa)
            yield source, kappa, found.after[found.has_recourse]
        if dice is not None:
            logits = logits64(p.teacher, 0, p.design.encoding, dice)
            yield "DiCE, random", kappa, dice[logits >= max(kappa, 1e-9)]
        yield "random legal", kappa, _random(p, before, kappa)


def _dice(p: pipeline.TeacherRecourse, before: np.ndarray) -> np.ndarray | None:
    """DiCE's legal answers to some people, as its defaults give them; None where it is not installed."""
    if importlib.util.find_spec("dice_ml") is None:
        return None
    design, schema = p.design, p.design.table.schema
    rules = Rules.read(schema, frame(schema, design.table.values[design.split.train]))
    query = RecourseQuery(before, design.encoding, design.actions)
    np.random.seed(0)
    dice = Dice("random", Case(schema, p.teacher, (query,), (rules,)), design.table)
    rows, own, found = dice_frame(schema, before), frame(schema, before), []
    for i in range(len(before)):
        answer = dice.answer(rows.iloc[[i]].reset_index(drop=True))
        raw = None if answer is None else raw_frame(schema, answer)
        if raw is not None and not rules.violations(own.iloc[[i]].reset_index(drop=True), raw):
            found.append([count(f, raw[f.name].iloc[0]) for f in schema.features])
    return np.array(found, np.int64).reshape(-1, before.shape[1])


def _random(p: pipeline.TeacherRecourse, before: np.ndarray, kappa: float) -> np.ndarray:
    """For each person the first of some random legal rows that the teacher approves with the margin."""
    random, actions = numpy_stream(p.design.seed, "benchmarks/transfer"), p.design.actions
    told = np.zeros(len(before), bool)
    after = before.copy()
    for _ in range(DRAWS):
        tried = before.copy()
        for i in actions.numbers:
            low, high = actions.box(i, before)
            tried[:, i] = random.integers(low, high + 1)
        for i in actions.switches:
            reach = actions.reachable(i, before)
            tried[:, i] = (random.random(reach.shape) * reach).argmax(1)
        tried = actions.completed(before, tried)
        good = (
            ~told
            & actions.legal(before, tried)
            & (logits64(p.teacher, 0, p.design.encoding, tried) >= max(kappa, 1e-9))
        )
        after[good] = tried[good]
        told |= good
    assert actions.legal(before, after).all()
    return after[told]


# ---------------------------------------------------------------------- the tables
def section(path: Path = OUT) -> str:
    """A table a data set and number of bits; empty where nothing was measured."""
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    parts = [
        "## Promises from anywhere",
        "`python -m benchmarks.transfer`: share of promises that break, as the student is / at its matched threshold, "
        "mean over seeds, with half of the 95 % interval over seeds (t) of the first; n: promises of all seeds. With a "
        "margin of 0 a promise lies on the boundary, where the "
        "smallest move of a threshold breaks many. *distill + outcome* and *cfq, gradient recourse* are no methods of "
        "the product: the first has a low VD because it is lenient where promises end, the second is trained as the "
        "paper trains.",
    ]
    parts += [_table(found[name], name, bits) for name in found for bits in BITS]
    return "\n\n".join([*parts, "### Against the aims", _aims(found)])


def _values(seeds: dict[str, Any], source: str, kappa: float, method: str, bits: float, at: int) -> list[float]:
    rows = (r for of in seeds.values() for r in of if r[:4] == [source, kappa, method, bits])
    return [r[at] for r in rows if r[at] is not None]


def _keys(seeds: dict[str, Any], place: int) -> list[Any]:
    return list(dict.fromkeys(r[place] for of in seeds.values() for r in of))


def _table(seeds: dict[str, Any], name: str, bits: float) -> str:
    methods = _keys(seeds, 2)
    rows = [
        f"{name}, {bits:g} bits, {len(seeds)} seeds:",
        "",
        f"| promise | kappa | n | {' | '.join(methods)} |",
        "|" + "---|" * (3 + len(methods)),
    ]
    shifts = [[_values(seeds, SHIFT, 0.0, m, bits, at) for at in (5, 6)] for m in methods]
    cells = [" / ".join(f"{100 * mean(v):+z.1f}" if v else "-" for v in each) for each in shifts]
    rows.append(f"| approval shift, points | | | {' | '.join(cells)} |")
    for source in (s for s in _keys(seeds, 0) if s != SHIFT):
        for kappa in KAPPAS:
            n = sum(_values(seeds, source, kappa, "ptq", bits, 4))
            cells = [_cell(seeds, source, kappa, m, bits) for m in methods]
            rows.append(f"| {source} | {kappa:g} | {n:,} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(seeds: dict[str, Any], source: str, kappa: float, method: str, bits: float) -> str:
    shown = [_values(seeds, source, kappa, method, bits, at) for at in (5, 6)]
    raw, matched = (f"{mean(v):.3f}" if v else "-" for v in shown)
    return f"{raw} ± {half_width(shown[0]):.3f} / {matched}" if len(shown[0]) > 1 else f"{raw} / {matched}"


def _aims(found: dict[str, Any]) -> str:
    rows = ["| aim | reached | numbers |", "|---|---|---|"]
    for name in (n for n in found if n != "german"):
        for bits in (3.0, 4.0):
            for source, bar in (("search", 0.015), ("PGD, K = 20", 0.03)):
                for at, what in ((5, "VD"), (6, "matched VD")):
                    v = _values(found[name], source, 0.2, "cfq_anchored", bits, at)
                    if v:
                        rows.append(
                            _row(f"{name}, {bits:g} bits: cfq_anchored's {what} of {source} <= {bar:g}", v, bar)
                        )
            ours, plain = (_values(found[name], "search", 0.0, m, bits, 5) for m in ("cfq_anchored", "ptq"))
            if ours and plain:
                ratio = mean(ours) / mean(plain) if mean(plain) else math.inf
                what = f"{name}, {bits:g} bits, kappa 0: VD at most 0.4 times ptq's"
                rows.append(f"| {what} | {'yes' if ratio <= 0.4 else '**no**'} | {ratio:.2f} |")
    return "\n".join(rows)


def _row(what: str, values: list[float], bar: float) -> str:
    return f"| {what} | {'yes' if mean(values) <= bar else '**no**'} | {mean(values):.4f} ± {half_width(values):.4f} |"


def half_width(values: list[float]) -> float:
    """Half of the 95 % interval of a mean over seeds."""
    if len(values) < 2:
        return math.nan
    return float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


if __name__ == "__main__":
    main()
