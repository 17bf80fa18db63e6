"""One example of advice on a table, from a logistic regression that is trained in a moment: does the card say sense?"""

from __future__ import annotations

import numpy as np

from cfq_core.base.errors import CfqError
from cfq_core.pipeline import Setting, prepare, promise
from cfq_core.study.models import ONE_AT_A_TIME
from cfq_core.study.plan import table_of
from cfq_core.training.loop import TeacherTraining

PEOPLE = 20  # denied people who are asked
WORK = 300_000  # rows in all epochs together, about


def example(dataset: str) -> list[str]:
    """Who somebody is and what they would be told, in a few lines; why there is no example where there is none."""
    try:
        table = table_of(dataset)
        training = TeacherTraining(epochs=int(np.clip(WORK // len(table), 1, 20)))
        setting = Setting(hidden=(), people=PEOPLE, teacher_training=training)
        with ONE_AT_A_TIME:
            (told,) = promise([prepare(table, 0)], setting)
    except CfqError as problem:
        return [f"No example of advice: {problem}"]
    r, actions = told.recourse, told.design.actions
    if not r.has_recourse.any():
        return ["No example of advice: a quick model denies nobody here, or nobody it denies can change enough."]
    one = int(np.flatnonzero(r.has_recourse)[np.argmin(r.cost[r.has_recourse])])
    who = "; ".join(
        f"{f.words}: {f.format_cell(int(v))}" for f, v in zip(actions.schema.features, r.before[one], strict=True)
    )
    advice = "; ".join(actions.advice(r.before[one], r.after[one]))
    return [f"An example, from a quick model. Somebody is refused: {who}.", f"They would be told: {advice}."]
