"""Robust recourse: the least-cost action that holds on every one of a set of deployment variants.

ROAR's aim (Upadhyay, Joshi, Lakkaraju, arXiv 2102.13620) for a change that is known: which models may be
deployed can be listed, so the worst of them is a model of its own, and every solver takes it as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.nets.linear import Form, Reach, above, input_step
from cfq_core.nets.stack import Scorer
from cfq_core.recourse.find import logits64
from cfq_core.tables.encode import Encoding, Values


@dataclass(frozen=True)
class Worst:
    """R models, each the least favourable of V variants: ``logit = min_v q_v(x)``.

    ``variants`` holds R x V runs, variants innermost; those of one model see their inputs alike (one
    input step), which a runtime's calibration gives for every weight bit-width.
    """

    variants: Scorer
    count: int  # V

    @property
    def runs(self) -> int:
        """Number of models R."""
        return self.variants.runs // self.count

    @property
    def first_weight(self) -> Float[Tensor, "r vh d"]:
        """First layers of all variants, one under the other."""
        weight = self.variants.first_weight
        return weight.reshape(self.runs, -1, weight.shape[2])

    @property
    def first_bias(self) -> Float[Tensor, "r vh"]:
        """Their biases."""
        return self.variants.first_bias.reshape(self.runs, -1)

    def quantize_input(
        self, inputs: Float[Tensor, "*n d"], run: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "*n d"]:
        """What every variant's first layer is given."""
        one_each = self.variants.take(range(0, self.variants.runs, self.count))
        return one_each.quantize_input(inputs, run)

    def forward_from_first(self, first: Float[Tensor, "r n vh"]) -> Float[Tensor, "r n"]:
        """The least logit over the variants."""
        return self._least(self.variants.forward_from_first(self._apart(first)))

    def highest(self, low: Float[Tensor, "r n vh"], high: Float[Tensor, "r n vh"]) -> Float[Tensor, "r n"]:
        """The least of the variants' upper bounds bounds their minimum."""
        return self._least(self.variants.highest(self._apart(low), self._apart(high)))

    @property
    def input_step(self) -> Float[Tensor, "r"]:
        """Grid step of the inputs, the same for all variants of a model."""
        return input_step(self.variants)[:: self.count]

    def above(self, run: Int[Tensor, "b"], reach: Reach) -> Form:
        """Of the variants' forms the one that is lowest on the set: what bounds one of them bounds their minimum."""
        width = self.first_weight.shape[1]
        best: Form | None = None
        lowest = torch.full((len(run),), torch.inf, dtype=self.first_weight.dtype)
        for v in range(self.count):
            form = above(self.variants, run * self.count + v, _Part(reach, v, width // self.count, width))
            weight, blame = (_Part.widened(t, v, width) for t in (form.weight, form.blame))
            wide = Form(weight, form.constant, form.top, blame)
            highest = torch.minimum(reach.highest(wide.weight[:, None])[:, 0] + wide.constant, wide.top)
            better = highest < lowest
            lowest = torch.minimum(lowest, highest)
            best = wide if best is None else best.where(better, wide)
        assert best is not None, "there is at least one variant"
        return best

    def take(self, runs: Sequence[int]) -> Worst:
        """A stack of the chosen models."""
        return Worst(self.variants.take([r * self.count + v for r in runs for v in range(self.count)]), self.count)

    def to(self, dtype: torch.dtype) -> Worst:
        """The same models in another floating type."""
        return Worst(self.variants.to(dtype), self.count)

    def _apart(self, first: Float[Tensor, "r n vh"]) -> Float[Tensor, "rv n h"]:
        r, n, _ = first.shape
        return first.view(r, n, self.count, -1).transpose(1, 2).reshape(r * self.count, n, -1)

    def _least(self, logits: Float[Tensor, "rv n"]) -> Float[Tensor, "r n"]:
        return logits.view(-1, self.count, logits.shape[1]).amin(1)


@dataclass(frozen=True)
class _Part:
    """What one variant's first layer sees of a set."""

    reach: Reach
    variant: int
    own: int  # width of a variant's first layer
    width: int  # of all variants' together

    @staticmethod
    def widened(forms: Float[Tensor, "*b h"], variant: int, width: int) -> Float[Tensor, "*b vh"]:
        """Forms of one variant as forms of all of them."""
        own = forms.shape[-1]
        return torch.nn.functional.pad(forms, (variant * own, width - (variant + 1) * own))

    def ends(self) -> tuple[Float[Tensor, "b h"], Float[Tensor, "b h"]]:
        """Ends of the variant's first pre-activations."""
        low, high = self.reach.ends()
        mine = slice(self.variant * self.own, (self.variant + 1) * self.own)
        return low[:, mine], high[:, mine]

    def highest(self, forms: Float[Tensor, "b m h"]) -> Float[Tensor, "b m"]:
        """Upper bounds of the variant's forms."""
        return self.reach.highest(self.widened(forms, self.variant, self.width))


def holds_on(variants: Scorer, encoding: Encoding, values: Values) -> Bool[np.ndarray, "v n"]:
    """On which variants each person is approved, judged in float64."""
    return np.stack([logits64(variants, v, encoding, values) > 0 for v in range(variants.runs)])


def robust_success(holds: Bool[np.ndarray, "v n"], share: float = 1.0) -> Bool[np.ndarray, "n"]:
    """Whose action is valid on at least ``share`` of the variants; 1 asks for all of them."""
    return holds.mean(0) >= share - 1e-12
