"""Chooses the loss weights and schedule of anchored CFQ on validation people; test people are never looked at.

    python benchmarks/choose_losses.py --dataset adult --seeds 100,101

Seeds are other ones than those of any reported result. Prints validity drop (raw and with the threshold moved to the
teacher's approval rate on the same rows), approval shift and flip rate on validation rows, mean over seeds.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass

import numpy as np

from cfq_core import pipeline
from cfq_core.allocators.recourse_sensitivity import RecourseSensitivity
from cfq_core.base.seeds import repeatable
from cfq_core.methods.method import Qat
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.study.plan import table_of
from cfq_core.training.finetune import QatConfig, Schedule
from cfq_core.training.losses import Weights

SCHEDULES = {
    "1000 slow": Schedule(most_steps=1000, learning_rate=2e-3),
    "1500": Schedule(most_steps=1500),
    "3000 slow": Schedule(learning_rate=2e-3),
    "3000": Schedule(),
}
LOSSES = {
    "focus": Weights(task=0.0, distill=0.5, segment=0.5, endpoint=1.0, focus=0.9),
    "one-sided": Weights(task=0.0, distill=0.5, segment=0.5, endpoint=1.0, focus=0.9, under=4.0, over=1.0),
    "focus+distill": Weights(task=0.0, distill=2.0, segment=0.5, endpoint=1.0, focus=0.9),
    "paper": Weights(task=1.0, outcome=0.5),
    "paper+margin": Weights(task=1.0, outcome=2.0, outcome_margin=0.5),
    "seg": Weights(task=0.0, distill=0.5, segment=0.5, endpoint=1.0),
    "seg+task": Weights(task=0.2, distill=0.5, segment=0.5, endpoint=1.0),
    "end": Weights(task=0.0, distill=0.5, segment=0.5, endpoint=3.0),
    "end+outcome": Weights(task=0.0, distill=0.5, segment=0.5, endpoint=3.0, outcome=0.1),
    "even": Weights(task=0.0, distill=1.0, segment=1.0, endpoint=1.0),
}


@dataclass(frozen=True)
class Held:
    """A teacher, its validation rows, and what it tells the people it denies among them."""

    p: pipeline.TeacherRecourse
    logits: np.ndarray
    people: np.ndarray  # at their recourse, in exact integer form


def held_out(p: pipeline.TeacherRecourse, setting: pipeline.Setting) -> Held:
    values = p.design.table.values[p.design.split.valid]
    logits = logits64(p.teacher, 0, p.design.encoding, values)
    ask = RecourseQuery(values[logits <= 0][:1000], p.design.encoding, p.design.actions)
    recourse = find_recourse(p.teacher, [ask], setting.solver, setting.kappa)
    return Held(p, logits, recourse.after[recourse.has_recourse])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="adult")
    parser.add_argument("--seeds", default="100,101")
    parser.add_argument("--bits", default="2,3,4")
    parser.add_argument("--schedules", default="1000 slow,3000")
    parser.add_argument("--losses", default=",".join(LOSSES))
    given = parser.parse_args()
    setting = pipeline.Setting(people=1)
    table = table_of(given.dataset)
    designs = [pipeline.prepare(table, int(s), setting.regime) for s in given.seeds.split(",")]
    with repeatable():
        promises = pipeline.training_recourse(pipeline.promise(designs, setting), setting)
        held = [held_out(p, setting) for p in promises]
        data = pipeline.training_data_of(promises)
    budgets = [float(b) for b in given.bits.split(",")]
    for schedule, losses in itertools.product(given.schedules.split(","), given.losses.split(",")):
        method = Qat("", RecourseSensitivity(), QatConfig(LOSSES[losses]), SCHEDULES[schedule])
        started = time.perf_counter()
        with repeatable():
            students = method.students(data, budgets)
        seconds = time.perf_counter() - started
        for b, budget in enumerate(budgets):
            rows = []
            for r, h in enumerate(held):
                run = r * len(budgets) + b
                student = logits64(
                    students.models, run, h.p.design.encoding, h.p.design.table.values[h.p.design.split.valid]
                )
                at = logits64(students.models, run, h.p.design.encoding, h.people)
                moved = pipeline.matching_threshold(h.p, students.models, run)
                flips = ((student > 0) != (h.logits > 0)).mean()
                rows.append(
                    [(at <= 0).mean(), (at <= moved).mean(), (student > 0).mean() - (h.logits > 0).mean(), flips]
                )
            vd, matched, shift, flips = np.mean(rows, axis=0)
            print(
                f"{given.dataset} {budget:g} bits, {schedule:9s} {losses:12s} vd {vd:.4f} matched {matched:.4f} "
                f"shift {shift:+.4f} flips {flips:.4f}  ({seconds:.0f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
