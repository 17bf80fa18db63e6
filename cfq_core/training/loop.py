"""One loop that trains a whole stack of runs.

Each run sees its own rows in its own order; Adam is element-wise, so no run influences another: a run's bits are
the same alone, beside others and at any place among them (`nets/elementwise.py` says what that takes). The
weights of a run's best validation epoch are kept, and a run that has not improved for ``patience``
epochs is finished, whatever its neighbours do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.nets.elementwise import aligned, padded
from cfq_core.nets.optim import Adam
from cfq_core.nets.stack import Stack, score
from cfq_core.training.losses import task_loss

LARGE = 50_000  # training rows beyond which a table is large: more rows need no more steps
LARGE_STEPS = 4000  # of a large table, about
MOST_LARGER = 4  # times rows a step; the learning rate grows with its root
LEAST_EPOCHS = 4
LOOKED_AT = 20_000  # validation rows that choose an epoch, spread evenly over those of a large table


@dataclass(frozen=True)
class TeacherTraining:
    """How teachers are trained: Adam with decoupled weight decay on the cross-entropy."""

    KEY = "teacher_training"
    epochs: int = 40
    rows_per_step: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    patience: int = 10  # epochs without a better validation loss
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"

    def __post_init__(self) -> None:
        if min(self.epochs, self.rows_per_step, self.patience) < 1:
            raise ValueError("epochs, rows_per_step and patience are at least 1")

    def on(self, rows: int) -> TeacherTraining:
        """The same for a table of this many training rows: of a large one in about `LARGE_STEPS` larger steps.

        Up to `LARGE` training rows nothing changes. Measured in benchmarks/README.md, "Many rows".
        """
        if rows <= LARGE:
            return self
        larger = min(MOST_LARGER, 2 ** max(0, round(math.log2(rows / LARGE))))
        epochs = max(LEAST_EPOCHS, math.ceil(LARGE_STEPS * larger * self.rows_per_step / rows))
        return replace(
            self, rows_per_step=larger * self.rows_per_step, learning_rate=math.sqrt(larger) * self.learning_rate,
            epochs=min(self.epochs, epochs),
        )  # fmt: skip


@dataclass(frozen=True)
class Fold:
    """Rows of one part, one stack deep."""

    inputs: Float[Tensor, "r n d"]
    outcome: Float[Tensor, "r n"]
    row_weight: Float[Tensor, "r n"] | None = None  # of mean 1; None: all rows count alike

    def thinned(self, most: int) -> Fold:
        """At most so many rows, spread evenly."""
        every = -(-self.inputs.shape[1] // most)
        return self.each(lambda t: t[:, ::every])

    def each(self, change: Callable[[Tensor], Tensor]) -> Fold:
        """All that is known of the rows, changed alike."""
        weight = None if self.row_weight is None else change(self.row_weight)
        return Fold(change(self.inputs), change(self.outcome), weight)


def train_teachers(start: Stack, train: Fold, valid: Fold, seeds: Sequence[int], how: TeacherTraining) -> Stack:
    """Full-precision teachers, one a seed, from their own training rows; ``start`` is not changed.

    An epoch leaves out the few rows by which its last batch is no multiple of `ALIGNED`; others each time.
    """
    if start.runs == 1:  # a product of one run with one output takes another kernel
        train, valid = (f.each(lambda t: t.expand(2, *t.shape[1:])) for f in (train, valid))
        return train_teachers(start.take([0, 0]), train, valid, [*seeds] * 2, how).take([0])
    stack = start.trainable()
    rows = aligned(train.inputs.shape[1])
    how = how.on(rows)
    if rows > LARGE:
        valid = valid.thinned(LOOKED_AT)
    steps = math.ceil(rows / how.rows_per_step)
    rate, decay = how.learning_rate, how.weight_decay
    optimizer = Adam(stack.parameters, rate, weight_decay=decay, decoupled_weight_decay=True, fused=True)
    schedule = _schedule(optimizer, how, how.epochs * steps)
    shuffles = [torch_stream(s, "training/order") for s in seeds]
    kept, looked_at = _Kept(start, how.patience), padded(valid.inputs)
    for _ in range(how.epochs):
        order = torch.stack([torch.randperm(train.inputs.shape[1], generator=g)[:rows] for g in shuffles])
        for batch in order.split(how.rows_per_step, dim=1):
            logits = score(stack, _rows(train.inputs, batch))
            weight = None if train.row_weight is None else torch.gather(train.row_weight, 1, batch)
            loss = task_loss(logits, torch.gather(train.outcome, 1, batch), weight)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            logits = score(stack, looked_at)[:, : valid.inputs.shape[1]]
            finished = kept.see(stack, task_loss(logits, valid.outcome, valid.row_weight))
        if finished:
            break
    return kept.best


def _rows(inputs: Float[Tensor, "r n d"], batch: Tensor) -> Float[Tensor, "r b d"]:
    return torch.gather(inputs, 1, batch[..., None].expand(-1, -1, inputs.shape[2]))


def _schedule(
    optimizer: torch.optim.Optimizer, how: TeacherTraining, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if how.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, how.learning_rate, total_steps=steps + 1)


class _Kept:
    """The best weights of every run so far; a run past its patience keeps them for good."""

    def __init__(self, start: Stack, patience: int) -> None:
        self.best = start.frozen()
        self.loss = torch.full((start.runs,), math.inf)
        self.stale = torch.zeros(start.runs, dtype=torch.int64)
        self.patience = patience

    def see(self, stack: Stack, loss: Float[Tensor, "r"]) -> bool:
        """Take the runs that improved; True when every run is past its patience."""
        better = (loss < self.loss) & (self.stale < self.patience)
        self.loss = torch.where(better, loss, self.loss)
        self.stale = torch.where(better, torch.zeros_like(self.stale), self.stale + 1)
        for kept, now in zip(self.best.parameters, stack.parameters, strict=True):
            kept[better] = now.detach()[better]
        return bool((self.stale >= self.patience).all())
