"""Robust recourse against plain evaluation of every variant."""

import numpy as np
import torch

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.plugins import load
from cfq_core.nets.stack import score
from cfq_core.pipeline import Setting, prepare, promise
from cfq_core.quant.variants import Variants
from cfq_core.recourse.find import find_recourse
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.recourse.robust import Worst, holds_on, robust_success
from cfq_core.recourse.search import Search


def setting() -> tuple[Worst, RecourseQuery]:
    table = load("datasets", "diabetes").load()
    made = promise([prepare(table, 0)], Setting(hidden=(12, 8)))[0]
    inputs = torch.tensor(made.design.inputs(made.design.split.train), dtype=torch.float32)[None]
    kinds = Variants(bits=(8, 4), draws=1)
    ask = RecourseQuery(made.recourse.before, made.design.encoding, made.design.actions)
    return Worst(kinds.of(made.teacher, inputs), kinds.count), ask


def test_the_worst_of_the_variants_is_their_minimum() -> None:
    worst, ask = setting()
    inputs = torch.tensor(ask.encoding.encode(ask.values), dtype=torch.float64)[None]
    each = score(worst.variants.to(torch.float64), inputs.expand(worst.count, -1, -1))
    assert torch.equal(score(worst.to(torch.float64), inputs)[0], each.min(0).values)


def test_robust_recourse_holds_on_every_variant_it_was_asked_for_and_costs_no_less() -> None:
    worst, ask = setting()
    robust = find_recourse(worst, [ask], Search(), 0.2)
    plain = find_recourse(worst.variants.take([0]), [ask], Search(), 0.2)
    assert robust.has_recourse.mean() > 0.5
    held = holds_on(worst.variants, ask.encoding, robust.after)
    assert robust_success(held)[robust.has_recourse].all()
    both = robust.has_recourse & plain.has_recourse
    assert robust.cost[both].mean() >= plain.cost[both].mean()
    assert isinstance(ask.actions, ActionSet) and ask.actions.legal(robust.before, robust.after).all()


def test_robust_success_counts_shares() -> None:
    held = np.array([[True, True], [True, False], [True, False]])
    assert robust_success(held).tolist() == [True, False]
    assert robust_success(held, share=1 / 3).tolist() == [True, True]
