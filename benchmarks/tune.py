"""Chooses every trained method's schedule and losses on validation people; test people are never looked at.

    python -m benchmarks.tune

One program, the same number of trials a method, ours among them, on seeds that no reported result uses. A trial is
scored by ``matched VD + |approval shift| + accuracy drop`` on validation rows: what the tables show, so that every
method gets the schedule that makes it the strongest rival. Beside it stands the trial that the validation rows'
cross-entropy alone would choose, which is all that somebody sees who has no recourse in mind.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cfq_core import pipeline
from cfq_core.allocators.learned import Learned
from cfq_core.allocators.recourse_sensitivity import RecourseSensitivity
from cfq_core.allocators.uniform import Uniform
from cfq_core.base.identity import identity
from cfq_core.base.plugins import load
from cfq_core.base.seeds import repeatable
from cfq_core.methods.adaround import AdaRoundPtq
from cfq_core.methods.method import Qat, Students
from cfq_core.quant.adaround import AdaRound
from cfq_core.quant.training_data import TrainingData
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.study.plan import table_of
from cfq_core.training.finetune import QatConfig, Schedule
from cfq_core.training.losses import Weights

OUT = Path(__file__).parent / "numbers" / "tune.json"
SEEDS = {"german": (100, 101, 102), "compas": (100, 101), "adult": (100, 101)}
BITS = (2.0, 3.0, 4.0)
LARGE = ("adult", "compas")  # more training rows than `Schedule.small_rows`
PEOPLE = 1000  # denied validation people a seed, at most

TASK = Weights()
DISTILL = Weights(task=1.0, distill=0.5)
DISTILL_NEAR = replace(DISTILL, focus=0.9)
TEACHER_NEAR = Weights(task=0.0, distill=1.0, focus=0.9)
FITTED = Weights(task=0.0, distill=0.5, endpoint=1.0)
FITTED_NEAR = replace(FITTED, focus=0.9)
ANCHORED = Weights(task=0.0, distill=0.5, segment=0.5, endpoint=1.0)
ANCHORED_NEAR = replace(ANCHORED, focus=0.9)
ONE_SIDED = replace(ANCHORED_NEAR, under=4.0, over=1.0)
OUTCOME = Weights(task=1.0, outcome=2.0, outcome_margin=0.5)
OUTCOME_LESS = Weights(task=1.0, outcome=0.5)
OUTCOME_EVEN = Weights(task=1.0, outcome=0.5, outcome_margin=0.5)

LANDED = Schedule()


def full(rate: float) -> Schedule:
    """All epochs; the rate falls to zero at the end of any schedule."""
    return Schedule(learning_rate=rate, small_learning_rate=rate)


def third(rate: float) -> Schedule:
    """A third of the epochs and of the most steps."""
    return Schedule(epochs=20, most_steps=1000, learning_rate=rate, small_learning_rate=rate)


def lsq(losses: Weights, schedule: Schedule) -> Qat:
    """Uniform bits, learned steps."""
    return Qat("", Uniform(), QatConfig(losses), schedule)


def pact(decay: float, schedule: Schedule) -> Qat:
    """Uniform bits, learned clips."""
    return Qat("", Uniform(), QatConfig(steps="pact", clip_decay=decay), schedule)


def fitted(losses: Weights, schedule: Schedule) -> Qat:
    """A frozen backbone whose steps are fitted."""
    return Qat("", Uniform(), QatConfig(losses, weights=False, step_rate=5.0), schedule)


def learned(losses: Weights, schedule: Schedule) -> Qat:
    """The paper's method, its gates on the same losses and schedule."""
    config = QatConfig(losses)
    return Qat("", Learned(config, schedule), config, schedule)


def ours(losses: Weights, schedule: Schedule) -> Qat:
    """Bits by recourse sensitivity."""
    return Qat("", RecourseSensitivity(), QatConfig(losses), schedule)


#: What is tried, by method; the first is what the method had before.
TRIALS: dict[str, tuple[Qat | AdaRoundPtq, ...]] = {
    "qat_lsq": (
        lsq(TASK, LANDED), lsq(TASK, third(2e-3)), lsq(TASK, third(1e-3)), lsq(TASK, third(5e-4)),
        lsq(TASK, third(2e-4)), lsq(TASK, full(2e-4)),
    ),
    "qat_distill": (
        lsq(DISTILL, LANDED), lsq(DISTILL, third(1e-3)), lsq(DISTILL_NEAR, third(1e-3)),
        lsq(TEACHER_NEAR, third(1e-3)), lsq(TEACHER_NEAR, third(5e-3)), lsq(TEACHER_NEAR, full(2e-3)),
    ),
    "cf_ptq": (
        fitted(FITTED, LANDED), fitted(FITTED, third(1e-3)), fitted(FITTED_NEAR, third(1e-3)),
        fitted(FITTED_NEAR, third(5e-3)), fitted(ANCHORED_NEAR, third(1e-3)), fitted(ANCHORED_NEAR, third(5e-3)),
    ),
    "qat_pact": (
        pact(1e-3, LANDED), pact(1e-3, third(1e-3)), pact(1e-3, third(2e-4)), pact(1e-4, third(1e-3)),
        pact(1e-4, third(2e-4)), pact(1e-4, full(2e-4)),
    ),
    "cfq": (
        learned(OUTCOME, LANDED), learned(OUTCOME, third(1e-3)), learned(OUTCOME, third(2e-4)),
        learned(OUTCOME_LESS, third(1e-3)), learned(OUTCOME_LESS, third(2e-4)), learned(OUTCOME_EVEN, third(1e-3)),
    ),
    "adaround": tuple(
        AdaRoundPtq(rounding=r)
        for r in (
            AdaRound(), AdaRound(weight=0.001), AdaRound(weight=0.1), AdaRound(learning_rate=1e-3),
            AdaRound(learning_rate=3e-2), AdaRound(iterations=2000),
        )
    ),
    "cfq_anchored": (
        ours(ANCHORED_NEAR, LANDED), ours(ANCHORED_NEAR, third(5e-3)), ours(ANCHORED_NEAR, third(2e-3)),
        ours(ANCHORED_NEAR, third(1e-3)), ours(ANCHORED, third(5e-3)), ours(ONE_SIDED, third(5e-3)),
    ),
}  # fmt: skip


# ---------------------------------------------------------------------- one trial
@dataclass(frozen=True)
class Held:
    """A teacher, its validation rows, and what it tells the people it denies among them."""

    p: pipeline.TeacherRecourse
    logits: np.ndarray
    outcome: np.ndarray
    values: np.ndarray
    people: np.ndarray  # at their recourse, in exact integer form


@dataclass(frozen=True)
class Bench:
    """What trials on one table share."""

    data: TrainingData
    held: list[Held]


def bench(table: str) -> Bench:
    """Teachers of the tuning seeds, training recourse, and promises to validation people."""
    setting = pipeline.Setting(people=1)
    designs = [pipeline.prepare(table_of(table), s, setting.regime) for s in SEEDS[table]]
    with repeatable():
        promises = pipeline.training_recourse(pipeline.promise(designs, setting), setting)  # as the trials were made
        return Bench(pipeline.training_data_of(promises), [_held(p, setting) for p in promises])


def _held(p: pipeline.TeacherRecourse, setting: pipeline.Setting) -> Held:
    d = p.design
    values, outcome = d.table.values[d.split.valid], d.table.outcome[d.split.valid]
    logits = logits64(p.teacher, 0, d.encoding, values)
    ask = RecourseQuery(values[logits <= 0][:PEOPLE], d.encoding, d.actions)
    recourse = find_recourse(p.teacher, [ask], setting.solver, setting.kappa)
    return Held(p, logits, outcome, values, recourse.after[recourse.has_recourse])


def judged(students: Students, held: list[Held]) -> dict[str, list[float]]:
    """What validation rows say of each student, runs in order: seeds, then budgets."""
    seen = [_judged(students, run, held[run // len(BITS)]) for run in range(students.models.runs)]
    return {name: [round(float(s[name]), 5) for s in seen] for name in seen[0]}


def _judged(students: Students, run: int, h: Held) -> Mapping[str, float]:
    encoding = h.p.design.encoding
    student, at = (logits64(students.models, run, encoding, v) for v in (h.values, h.people))
    wanted = int((h.logits > 0).sum())
    ranked = np.sort(student)[::-1]
    moved = (ranked[max(0, wanted - 1)] + ranked[min(wanted, len(ranked) - 1)]) / 2
    decided = (h.logits > 0) == h.outcome
    return {
        "vd": (at <= 0).mean(),
        "matched": (at <= moved).mean(),
        "shift": (student > 0).mean() - (h.logits > 0).mean(),
        "accuracy_drop": decided.mean() - ((student > 0) == h.outcome).mean(),
        "loss": np.logaddexp(0, np.where(h.outcome, -student, student)).mean(),
    }


# ---------------------------------------------------------------------- the choice
def score(found: Mapping[str, list[float]]) -> float:
    """What a trial on one table is chosen by: the mean over seeds and bits."""
    return float(np.mean(np.add(np.add(found["matched"], np.abs(found["shift"])), found["accuracy_drop"])))


def loss(found: Mapping[str, list[float]]) -> float:
    """What the cross-entropy alone would choose by."""
    return float(np.mean(found["loss"]))


def chosen(
    trials: list[dict[str, Any]], by: Callable[[Mapping[str, list[float]]], float] = score, on: tuple[str, ...] = LARGE
) -> int:
    """The trial of the least mean over some tables."""
    return int(np.argmin([np.mean([by(t["tables"][table]) for table in on]) for t in trials]))


def chosen_small(trials: list[dict[str, Any]], of: int) -> int:
    """The best on the small table among trials of the chosen one's losses: where its rate for small tables is from."""
    return min(
        (i for i, t in enumerate(trials) if t["losses"] == trials[of]["losses"]),
        key=lambda i: score(trials[i]["tables"]["german"]),
    )


def words(method: Qat | AdaRoundPtq) -> tuple[str, str]:
    """Losses and schedule of a trial."""
    if isinstance(method, AdaRoundPtq):
        r = method.rounding
        return "as the paper's", f"rate {r.learning_rate:g}, push {r.weight:g}, {r.iterations} iterations"
    plain = Weights(task=0.0)
    terms = {k: v for k, v in vars(method.config.losses).items() if v != getattr(plain, k)}
    decay = f", clip decay {method.config.clip_decay:g}" if method.config.clip_decay else ""
    s = method.schedule
    rate = f"{s.learning_rate:g}" + (
        "" if s.learning_rate == s.small_learning_rate else f" ({s.small_learning_rate:g})"
    )
    return ", ".join(f"{k} {v:g}" for k, v in terms.items()) + decay, f"rate {rate}, {s.epochs} epochs"


def section() -> str:
    """Every trial with its score, and which was chosen, as Markdown."""
    heading = "## Schedules, chosen on validation people"
    if not OUT.is_file():
        return f"{heading}\n\nNot measured: `python -m benchmarks.tune`."
    found = json.loads(OUT.read_text(encoding="utf-8"))
    seeds = "; ".join(f"{t}: {', '.join(map(str, s))}" for t, s in found["seeds"].items())
    about = (
        f"`{found['command']}`: {found['trials']} trials a method, ours among them, judged on validation rows of seeds "
        f"that no other table uses ({seeds}) at {', '.join(f'{b:g}' for b in found['bits'])} bits. Score: matched VD "
        "+ |approval shift| + accuracy drop, mean over seeds and bits, smaller is better. **Best**: the least mean "
        "of Adult and COMPAS; best of small tables: the least on German among trials of the same losses, whose rate "
        "small tables get; least loss: what the validation rows' cross-entropy alone would choose. The first line of "
        "each method is what it had before."
    )
    head = (
        "| method | losses | schedule | Adult | COMPAS | German | accuracy drop, Adult, 4 bits | |\n" + "|---" * 8 + "|"
    )
    rows = [row for name, trials in found["methods"].items() for row in _rows(name, trials)]
    apart = [n for n, trials in TRIALS.items() if not any(_shipped(n, t) for t in trials)]
    note = (
        f"As shipped, {', '.join(apart)} is none of these trials: its terms and sources were set after them, on "
        "validation people too; each change by itself stands in *What each change of anchored CFQ does*."
    )
    return "\n\n".join([heading, about, "\n".join([head, *rows]), *([note] if apart else [])])


def _rows(name: str, trials: list[dict[str, Any]]) -> list[str]:
    if any(set(t["tables"]) != set(SEEDS) for t in trials) or len(trials) != len(TRIALS[name]):
        return [f"| {name} | not tried on every table yet |" + " |" * 6]
    best, by_loss = chosen(trials), chosen(trials, loss)
    small = None if isinstance(TRIALS[name][0], AdaRoundPtq) else chosen_small(trials, best)  # it has one rate for all
    rows = []
    for i, t in enumerate(trials):
        marks = [
            m for m, at in (("**best**", best), ("best of small tables", small), ("least loss", by_loss)) if at == i
        ]
        marks += ["as shipped"] if _shipped(name, TRIALS[name][i]) else []
        scores = " | ".join(f"{score(t['tables'][table]):.4f}" for table in ("adult", "compas", "german"))
        drop = np.mean(t["tables"]["adult"]["accuracy_drop"][BITS.index(4.0) :: len(BITS)])
        rows.append(f"| {name} | {t['losses']} | {t['schedule']} | {scores} | {drop:+z.4f} | {', '.join(marks)} |")
    return rows


def _shipped(name: str, trial: Any) -> bool:
    """Whether a trial is the product's method, but for the rate of small tables, which is chosen apart."""
    method = load("methods", name)
    if isinstance(method, Qat):
        small = trial.schedule.small_learning_rate
        method = replace(method, schedule=replace(method.schedule, small_learning_rate=small))
    return identity(method) == identity(trial)


# ---------------------------------------------------------------------- the program
def main() -> None:
    """Try what has not been tried yet; every trial is kept as soon as it is judged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=",".join(SEEDS))
    parser.add_argument("--methods", default=",".join(TRIALS))
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    known: dict[str, dict[str, Any]] = {}
    if given.out.is_file():
        old = json.loads(given.out.read_text(encoding="utf-8"))
        known = {t["id"]: t for trials in old["methods"].values() for t in trials}
    for table in given.tables.split(","):
        on = bench(table)
        for name in given.methods.split(","):
            for method in TRIALS[name]:
                losses, schedule = words(method)
                trial = known.setdefault(
                    identity(method), {"id": identity(method), "losses": losses, "schedule": schedule, "tables": {}}
                )
                if table in trial["tables"]:
                    continue
                started = time.process_time()
                with repeatable():
                    students = method.students(on.data, BITS)
                trial["tables"][table] = judged(students, on.held) | {"seconds": [time.process_time() - started]}
                print(f"{table} {name}: {losses}; {schedule}: {score(trial['tables'][table]):.4f}", flush=True)
                _write(given.out, known)


def _write(out: Path, known: Mapping[str, dict[str, Any]]) -> None:
    methods = {name: [known[identity(m)] for m in trials if identity(m) in known] for name, trials in TRIALS.items()}
    found = {
        "command": "python -m benchmarks.tune",
        "trials": len(TRIALS["qat_lsq"]),
        "seeds": SEEDS,
        "bits": BITS,
        "methods": methods,
    }
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
