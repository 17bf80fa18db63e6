"""A control: QAT (LSQ) with its threshold lowered until it approves as many validation people as CFQ does.

What leniency alone buys: if its validity drop equals CFQ's, CFQ's recourse terms bought nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from cfq_core.base.identity import LABEL
from cfq_core.methods.method import Qat, Students, each_budget
from cfq_core.nets.stack import score
from cfq_core.quant.training_data import TrainingData


@dataclass(frozen=True)
class ApprovalMatchedQat:
    """One trained method with the approval rate of another."""

    KEY = "approval_matched_qat"
    strict: Qat
    lenient: Qat
    title: str = field(default="QAT, as lenient as CFQ", metadata=LABEL)
    about: str = field(default="", metadata=LABEL)
    trained = True
    needs_recourse = True
    learns_bits = False  # the bits are the strict method's

    @property
    def sources(self) -> tuple[Qat, Qat]:
        """Methods whose students it takes."""
        return self.strict, self.lenient

    def students(self, data: TrainingData, budgets: Sequence[float]) -> Students:
        """The strict method's students with the lenient method's number of approvals on the validation rows."""
        return self.of_sources(data, budgets, *(m.students(data, budgets) for m in self.sources))

    def of_sources(self, data: TrainingData, budgets: Sequence[float], ours: Students, theirs: Students) -> Students:
        """The same, of students that are there already; on the rows they were trained on, theirs mislead."""
        inputs = data.validation[each_budget(data, budgets)].double()
        wanted = (score(theirs.models, inputs) > 0).sum(1)
        ranked = score(ours.models, inputs).sort(dim=1, descending=True).values
        last = wanted.clamp(1, ranked.shape[1] - 1)[:, None]
        threshold = (ranked.gather(1, last - 1) + ranked.gather(1, last))[:, 0] / 2
        return Students(ours.models.raised(torch.relu(-threshold)), ours.plans)
