"""The losses of quantization-aware training, one weight a run.

    task      cross-entropy on the observed outcome, by the rows' sampling weights where their table has some
    distill   squared difference to the teacher's logit on factual rows
    outcome   the paper's CFQ: the student approves at x + sg(delta*_f)   softplus(-SHARPNESS (q - outcome_margin))
    segment   ours: squared difference to the teacher's logit along x + a delta: holds the boundary from both sides
    endpoint  the same at x + delta
    under     ours: the same at x + delta, only where the student says less than its teacher: a promise near breaking
    over      ours: the same on denied factual rows, only where the student says more: an approval near being given away

``focus`` weighs squared differences by the slope of the teacher's probability, ``(1 - focus) + focus 4 p (1 - p)``:
a logit of 5 that becomes 4 changes no decision, one of 0.2 that becomes -0.1 does, and few bits cannot hold both.

Pushing ``q(x + delta)`` up (outcome, arXiv 2605.17160) moves the whole boundary and buys validity with approvals;
matching the teacher along the segment does not (README's table: cfq and cfq_anchored). With few bits neither holds
exactly, and then it matters to which side it errs: ``under`` and ``over`` ask for nothing that the teacher does not
say, and pull apart the people whom a moved threshold would otherwise mix.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.nets.elementwise import cross_entropy, sigmoid, softplus

#: Steepness of the outcome loss, per logit: it is near zero from half a logit beyond the boundary on.
SHARPNESS = 4.0


@dataclass(frozen=True)
class Weights:
    """Weight of each loss term; 0 leaves it out."""

    KEY = "loss_weights"
    task: float = 1.0
    distill: float = 0.0
    outcome: float = 0.0
    segment: float = 0.0
    endpoint: float = 0.0
    focus: float = 0.0  # 0: all logits count alike; 1: only those near the boundary
    outcome_margin: float = 0.0  # logits: how far beyond the boundary the outcome is wanted
    under: float = 0.0  # on top of ``endpoint``, where the student says less
    over: float = 0.0  # on top of ``distill``, where the student says more of somebody the teacher denies

    @property
    def at_recourse(self) -> bool:
        """Whether any term looks at recourse points."""
        return any((self.outcome, self.segment, self.endpoint, self.under))


@dataclass(frozen=True)
class LossInputs:
    """Logits of every run and its teacher on one batch; segment and end are None where no run looks at them."""

    outcome: Float[Tensor, "r b"]
    student: Float[Tensor, "r b"]
    teacher: Float[Tensor, "r b"]
    segment: tuple[Float[Tensor, "r p"], Float[Tensor, "r p"]] | None = None  # student, teacher
    end: tuple[Float[Tensor, "r p"], Float[Tensor, "r p"]] | None = None
    row_weight: Float[Tensor, "r b"] | None = None  # of the task term; terms that match the teacher have none


def task_loss(
    logits: Float[Tensor, "r n"], outcome: Float[Tensor, "r n"], row_weight: Float[Tensor, "r n"] | None = None
) -> Float[Tensor, "r"]:
    """Mean cross-entropy of every run; a row of weight w counts as w rows do.

    Weights have mean 1 over all training rows, not over a batch, so that batches add up to the table's weighted loss.
    """
    each = cross_entropy(logits, outcome)
    return (each if row_weight is None else each * row_weight).mean(1)


def columns(weights: list[Weights]) -> dict[str, Float[Tensor, "r"]]:
    """The runs' loss weights as one tensor a term."""
    return {f.name: torch.tensor([getattr(w, f.name) for w in weights]) for f in fields(Weights)}


def total(seen: LossInputs, weight: dict[str, Float[Tensor, "r"]]) -> Float[Tensor, "r"]:
    """Loss of every run."""
    task = task_loss(seen.student, seen.outcome, seen.row_weight)
    focus = weight["focus"][:, None]
    loss = weight["task"] * task + weight["distill"] * _difference(seen.student, seen.teacher, focus)
    if weight["over"].any():
        more = torch.where(seen.teacher > 0, seen.teacher, torch.maximum(seen.student, seen.teacher))
        loss = loss + weight["over"] * _difference(more, seen.teacher, focus)
    if seen.segment is not None:
        loss = loss + weight["segment"] * _difference(*seen.segment, focus)
    if seen.end is not None:
        student, teacher = seen.end
        loss = loss + weight["endpoint"] * _difference(student, teacher, focus)
        if weight["under"].any():
            loss = loss + weight["under"] * _difference(torch.minimum(student, teacher), teacher, focus)
        missing = weight["outcome_margin"][:, None] - student
        loss = loss + weight["outcome"] * softplus(SHARPNESS * missing).mean(1)
    return loss


def _difference(
    student: Float[Tensor, "r n"], teacher: Float[Tensor, "r n"], focus: Float[Tensor, "r 1"]
) -> Float[Tensor, "r"]:
    """Mean squared difference of the logits, weighted towards the boundary by ``focus``."""
    share = sigmoid(teacher)
    near = (1 - focus) + focus * 4 * share * (1 - share)
    return (near * (student - teacher).square()).mean(1)
