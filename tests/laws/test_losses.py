"""What each loss asks for: nothing where it is met, and from the right side where it is not."""

from __future__ import annotations

import pytest
import torch

from cfq_core import pipeline
from cfq_core.base import plugins
from cfq_core.base.seeds import repeatable
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import RecoursePairs, TrainingData
from cfq_core.training.finetune import QatConfig, Schedule, finetune
from cfq_core.training.losses import LossInputs, Weights, columns, total
from cfq_core.training.online_recourse import OnlineRecourse

NOTHING = Weights(task=0.0)
NOTHING_BUT_THE_END = Weights(task=0.0, endpoint=1.0)


def _loss(weights: Weights, teacher: float, student: float) -> float:
    here = torch.tensor([[student]]), torch.tensor([[teacher]])
    seen = LossInputs(torch.ones(1, 1), *here, segment=here, end=here)
    return float(total(seen, columns([weights]))[0])


def test_a_student_that_says_what_its_teacher_says_loses_nothing() -> None:
    anchored = Weights(task=0.0, distill=0.5, segment=0.5, endpoint=1.0, focus=0.9)
    for logit in (-6.0, -0.1, 0.0, 0.2, 4.0):
        assert _loss(anchored, logit, logit) == 0.0
        above, below = (_loss(anchored, logit, logit + d) for d in (0.3, -0.3))
        assert above == pytest.approx(below, rel=1e-4) and above > 0, "both sides alike"


def test_focus_turns_to_the_boundary() -> None:
    plain, focused = Weights(task=0.0, distill=1.0), Weights(task=0.0, distill=1.0, focus=0.9)
    assert _loss(focused, 0.0, 0.3) == _loss(plain, 0.0, 0.3), "on the boundary nothing is taken away"
    far, near = (_loss(focused, f, f + 0.3) / _loss(plain, f, f + 0.3) for f in (5.0, 0.2))
    assert 0.1 <= far < 0.2 and near > 0.98


def test_the_outcome_is_wanted_from_one_side_only_and_as_far_as_its_margin() -> None:
    narrow, wide = Weights(task=0.0, outcome=1.0), Weights(task=0.0, outcome=1.0, outcome_margin=0.5)
    for weights in (narrow, wide):
        losses = [_loss(weights, 0.0, q) for q in (-1.0, 0.0, 0.5, 2.0)]
        assert losses == sorted(losses, reverse=True) and losses[-1] < 0.01
    assert _loss(wide, 0.0, 0.5) == _loss(narrow, 0.0, 0.0)


def test_one_sided_terms_see_broken_promises_and_given_away_approvals_and_nothing_else() -> None:
    short, over = Weights(task=0.0, under=1.0), Weights(task=0.0, over=1.0)
    for f in (-2.0, -0.1, 0.2, 3.0):
        assert _loss(short, f, f + 0.3) == 0.0 == _loss(short, f, f) and _loss(short, f, f - 0.3) > 0, "promises only"
        assert _loss(over, f, f - 0.3) == 0.0 == _loss(over, f, f), "a denied person may be denied harder"
        assert (_loss(over, f, f + 0.3) > 0) == (f <= 0), "approvals of the approved are none given away"
    assert _loss(short, 0.2, -0.1) == pytest.approx(_loss(NOTHING_BUT_THE_END, 0.2, -0.1)), "as large as both sides'"
    assert short.at_recourse and not over.at_recourse


def test_one_sided_terms_of_one_run_leave_its_neighbour_as_it_is_bit_for_bit() -> None:
    teachers = Stack.initial(6, (8, 8), [0])
    inputs = torch.randn(1, 300, 6, generator=torch.Generator().manual_seed(1))
    kept = RecoursePairs(inputs[:, :50], inputs[:, :50] + 0.3, torch.tensor([50]))
    data = TrainingData(teachers, inputs, (score(teachers, inputs) > 0).float(), (0,), kept)
    plain, plan = Weights(task=0.5, distill=0.5, segment=0.5, endpoint=1.0, outcome=0.5), torch.tensor([[2, 2, 2]] * 2)
    how = Schedule(least_steps=40, most_steps=40)

    def beside(losses: Weights) -> tuple[torch.Tensor, ...]:
        with repeatable():
            made = finetune(data, [0, 0], plan, [QatConfig(plain), QatConfig(losses)], how)
        return tuple(t for kind in (made.weights, made.biases, made.weight_steps, made.input_steps) for t in kind)

    before, after = (
        beside(Weights(task=0.0, endpoint=1.0)),
        beside(Weights(task=0.0, endpoint=1.0, under=2.0, over=1.0)),
    )
    assert all(torch.equal(a[0], b[0]) for a, b in zip(before, after, strict=True))
    assert any(not torch.equal(a[1], b[1]) for a, b in zip(before, after, strict=True)), "and train the run itself"


def test_runs_of_one_stack_keep_their_own_weights() -> None:
    here = torch.tensor([[0.4], [0.4]]), torch.tensor([[0.2], [0.2]])
    seen = LossInputs(torch.ones(2, 1), *here, segment=here, end=here)
    both = total(seen, columns([NOTHING, Weights(task=0.0, endpoint=1.0)]))
    assert both[0] == 0 and both[1] > 0


def test_large_tables_are_trained_longer_and_faster_than_small_ones() -> None:
    how = Schedule()
    assert how.steps(630) < how.steps(4_000) < how.steps(30_000) == how.most_steps
    assert how.rate(630) < how.rate(30_000)


def test_a_layer_whose_rounding_happens_to_help_counts_as_harmless(cell) -> None:  # type: ignore[no-untyped-def]
    """Sensitivities are sums a knapsack minimises: a negative one would pay for fewer bits."""
    data = pipeline.training_data_of(cell.promises)
    found = plugins.load("allocators", "loss_sensitivity").sensitivity(data, Calibration())
    raw = type(plugins.load("allocators", "loss_sensitivity"))(least=-torch.inf).sensitivity(data, Calibration())
    assert (raw < 0).any(), "the case exists on this table"
    assert torch.equal(found, raw.clamp_min(0)) and (found > 0).any()


def test_the_on_the_fly_teacher_reaches_its_margin_by_what_can_move_and_passes_no_gradient() -> None:
    teachers = Stack.initial(6, (16, 8), [0, 1])
    start = torch.randn(2, 200, 6, generator=torch.Generator().manual_seed(0))
    movable = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    before, far = score(teachers, start), OnlineRecourse(movable, steps=40).ends(teachers, start)
    after = score(teachers, far)
    assert torch.equal(far[..., 4:], start[..., 4:]) and not far.requires_grad
    assert torch.equal(far[before >= 0.2], start[before >= 0.2]), "who is approved stays"
    assert (after >= 0.2).float().mean() > (before >= 0.2).float().mean() + 0.2
    assert torch.equal(OnlineRecourse(movable, steps=0).ends(teachers, start), start)


def test_training_takes_the_on_the_fly_teacher_instead_of_what_was_kept() -> None:
    teachers = Stack.initial(6, (8, 8), [0])
    inputs = torch.randn(1, 300, 6, generator=torch.Generator().manual_seed(1))
    kept = RecoursePairs(inputs[:, :50], inputs[:, :50] + 0.3, torch.tensor([50]))
    data = TrainingData(teachers, inputs, (score(teachers, inputs) > 0).float(), (0,), kept)
    config, plan = QatConfig(Weights(task=0.0, endpoint=1.0)), torch.tensor([[3, 3, 3]])
    how = Schedule(least_steps=20, most_steps=20)
    with repeatable():
        made = [finetune(data, [0], plan, [config], how, live) for live in (None, None, OnlineRecourse(torch.ones(6)))]
    assert all(torch.equal(a, b) for a, b in zip(made[0].weights, made[1].weights, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(made[0].biases, made[2].biases, strict=True))
