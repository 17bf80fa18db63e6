"""One loop trains a whole stack: every weight learns, no run minds another, the best epoch is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cfq_core.base.seeds import repeatable, torch_stream
from cfq_core.nets.stack import Stack, score
from cfq_core.training import loop
from cfq_core.training.loop import Fold, TeacherTraining, task_loss, train_teachers

SEEDS = (3, 4, 5)
QUICK = TeacherTraining(epochs=6, rows_per_step=32, patience=6)
each_schedule = pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])


def _fold(seeds: tuple[int, ...], rows: int, part: str = "train") -> Fold:
    """Each seed's own rows, whatever the other seeds are: a noisy ring in five inputs."""
    inputs, outcome = [], []
    for s in seeds:
        random = torch_stream(s, f"tests/training/{part}")
        x = torch.randn(rows, 5, generator=random)
        inputs.append(x)
        outcome.append((x[:, 0] + x[:, 1] ** 2 + 0.3 * torch.randn(rows, generator=random) > 0.5).float())
    return Fold(torch.stack(inputs), torch.stack(outcome))


def _taught(seeds: tuple[int, ...], how: TeacherTraining = QUICK, rows: int = 150) -> Stack:
    start = Stack.initial(5, (8, 8), seeds)
    with repeatable():
        return train_teachers(start, _fold(seeds, rows), _fold(seeds, 60, "valid"), seeds, how)


def _same(a: Stack, b: Stack) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters, b.parameters, strict=True))


@each_schedule
def test_training_finds_the_boundary(schedule: str) -> None:
    how = TeacherTraining(epochs=40, rows_per_step=32, schedule=schedule)
    valid = _fold(SEEDS, 400, "valid")
    logits = score(_taught(SEEDS, how, 600), valid.inputs)
    assert (((logits > 0) == (valid.outcome > 0)).float().mean(1) > 0.85).all()


@each_schedule
def test_the_start_is_not_changed(schedule: str) -> None:
    start = Stack.initial(5, (8, 8), SEEDS)
    before = [p.clone() for p in start.parameters]
    best = train_teachers(start, _fold(SEEDS, 64), _fold(SEEDS, 30, "valid"), SEEDS, replace(QUICK, schedule=schedule))
    assert all(torch.equal(p, q) for p, q in zip(start.parameters, before, strict=True))
    assert not any(p.requires_grad for p in best.parameters)


@each_schedule
def test_every_parameter_of_every_run_is_trained(schedule: str) -> None:
    start, taught = Stack.initial(5, (8, 8), SEEDS), _taught(SEEDS, replace(QUICK, schedule=schedule))
    for before, after in zip(start.parameters, taught.parameters, strict=True):
        moved = (before != after).float().flatten(1).mean(1)
        assert (moved > 0.9).all(), f"a tensor of shape {tuple(before.shape)} was left where it was"


def test_every_parameter_receives_a_gradient() -> None:
    stack, train = Stack.initial(5, (8, 8), SEEDS).trainable(), _fold(SEEDS, 100)
    task_loss(score(stack, train.inputs), train.outcome).sum().backward()
    for p in stack.parameters:
        assert p.grad is not None
        assert (p.grad.flatten(1).abs().amax(1) > 0).all()


def test_the_loss_is_torchs_cross_entropy_run_by_run() -> None:
    logits, outcome = torch.randn(3, 50, generator=torch_stream(0, "tests/loss")), _fold(SEEDS, 50).outcome
    expected = [nn.BCEWithLogitsLoss()(z, y) for z, y in zip(logits, outcome, strict=True)]
    torch.testing.assert_close(task_loss(logits, outcome), torch.stack(expected))


@each_schedule
def test_a_seed_gives_its_weights_again_bit_for_bit(schedule: str) -> None:
    how = replace(QUICK, schedule=schedule)
    assert _same(_taught(SEEDS, how), _taught(SEEDS, how))


def test_another_seed_gives_other_weights() -> None:
    taught = _taught(SEEDS)
    assert not _same(taught.take([0]), taught.take([1]))


@pytest.mark.parametrize("company", [(4,), (4, 3), (3, 4), (9, 4, 7, 8)], ids=str)
def test_a_run_learns_the_same_in_other_company(company: tuple[int, ...]) -> None:
    """Neighbours are never mixed in: equal to a rounding error that training cannot blow up here."""
    alone, among = _taught(company).take([company.index(4)]), _taught(SEEDS).take([1])
    for p, q in zip(alone.parameters, among.parameters, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-5)


def test_the_weights_of_the_best_validation_epoch_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, Stack]] = []
    see = loop._Kept.see

    def spied(kept: loop._Kept, stack: Stack, loss: torch.Tensor) -> bool:
        seen.append((loss.clone(), stack.frozen()))
        return see(kept, stack, loss)

    monkeypatch.setattr(loop._Kept, "see", spied)
    how = TeacherTraining(epochs=25, rows_per_step=16, learning_rate=0.05, patience=25)  # so fast that it overfits
    taught = _taught(SEEDS, how, 40)
    losses = torch.stack([loss for loss, _ in seen])
    best = losses.argmin(0)
    assert (best < len(seen) - 1).any(), "the example must have a best epoch before its last"
    for r in range(len(SEEDS)):
        assert _same(taught.take([r]), seen[best[r]][1].take([r]))


def test_a_run_past_its_patience_stays_finished_though_it_would_improve() -> None:
    """Two runs: one improves for ever, the other pauses longer than its patience."""
    losses = [[1.0, 1.0], [0.9, 2.0], [0.8, 2.0], [0.7, 0.1], [0.6, 0.1]]
    kept, stack = loop._Kept(Stack.initial(2, (3,), (0, 1)), patience=2), Stack.initial(2, (3,), (8, 9))
    for epoch, loss in enumerate(losses):
        now = Stack(tuple(w + epoch for w in stack.weights), stack.biases)
        finished = kept.see(now, torch.tensor(loss))
        assert not finished
    assert torch.equal(kept.best.weights[0][0], stack.weights[0][0] + 4)
    assert torch.equal(kept.best.weights[0][1], stack.weights[0][1]), "its first epoch was the best within its patience"


def test_training_ends_when_nobody_improves() -> None:
    kept, stack = loop._Kept(Stack.initial(2, (3,), (0, 1)), patience=2), Stack.initial(2, (3,), (8, 9))
    assert [kept.see(stack, torch.tensor([1.0, 1.0])) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"rows_per_step": 0}, {"patience": 0}], ids=str)
def test_teaching_without_an_epoch_a_row_or_patience_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        TeacherTraining(**wrong)
