"""Every allocation of a net: what each of the C^L plans does, and which of them no other beats.

Plans that begin alike share the work of their first layers: layer l is computed once for each of the
C^l beginnings, not once for each plan, and what is computed is the deployed model (codes of activations,
int32 biases), exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.allocators.sensitivity import CHOICES
from cfq_core.evidence import approved
from cfq_core.matching import match
from cfq_core.nets.forward import behind
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.bits import BitPlan, average_bits
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.quantized import QuantStack


@dataclass(frozen=True)
class Landscape:
    """Measures of every plan, in the order of ``itertools.product(CHOICES, repeat=L)``."""

    plans: Int[np.ndarray, "p l"]
    average_bits: Float[np.ndarray, "p"]
    vd: Float[np.ndarray, "p"]
    vd_matched: Float[np.ndarray, "p"]
    approval_shift: Float[np.ndarray, "p"]
    recourse_error: Float[np.ndarray, "p"]  # mean (q - f)^2 at the recourse points
    approval_shift_matched: Float[np.ndarray, "p"] | None = None  # of the same people; None in older stores

    def of(self, plan: BitPlan) -> int:
        """The position of a plan."""
        return int((self.plans == np.array(plan)).all(1).argmax())

    def best(self, budget: float, measure: str = "vd_matched") -> int:
        """The plan of least ``measure`` within a budget; ties go to fewer bits."""
        value = np.where(self.average_bits <= budget + 1e-9, getattr(self, measure), np.inf)
        return int(np.lexsort((self.average_bits, value))[0])

    def front(self, measure: str = "vd_matched") -> Bool[np.ndarray, "p"]:
        """Plans that no other beats in both bits and ``measure``."""
        value = getattr(self, measure)
        order = np.lexsort((value, self.average_bits))
        least = np.minimum.accumulate(value[order])
        earlier = np.concatenate([[np.inf], least[:-1]])
        out = np.zeros(len(order), bool)
        out[order] = value[order] < earlier
        return out


@dataclass(frozen=True)
class Points:
    """Where plans are judged; encoded, of one teacher."""

    recourse: Float[Tensor, "k d"]  # x + delta*_f
    rows: Float[Tensor, "n d"]  # people whose approval rate sets the matched threshold; validation rows in an audit
    shown: Float[Tensor, "m d"] | None = None  # people whose approval shift is told; None: the same


def landscape(
    teacher: Stack,
    points: Points,
    calibration: Calibration,
    watched: Float[Tensor, "m d"],
    choices: Sequence[int] = CHOICES,
    activation_bits: int = 8,
) -> Landscape:
    """All ``len(choices) ** L`` plans of one teacher (R = 1); ``watched`` rows calibrate the activations."""
    layers = len(teacher.weights)
    judged = [points.recourse, points.rows] + ([] if points.shown is None else [points.shown])
    inputs, plans = torch.cat(judged), every_plan(layers, choices)
    table = _Table(logits_of(teacher, inputs), len(points.recourse), len(points.rows), torch.empty(5, len(plans)))
    judge(teacher, inputs, calibration, watched, plans, table, choices, activation_bits)
    bits_of = np.array([average_bits(tuple(p), teacher.sizes) for p in plans.tolist()])
    return Landscape(plans, bits_of, *table.out.numpy().astype(np.float64))


def every_plan(layers: int, choices: Sequence[int] = CHOICES) -> Int[np.ndarray, "p l"]:
    """All plans, those that begin alike side by side."""
    return np.array(list(product(choices, repeat=layers)))


def logits_of(teacher: Stack, inputs: Float[Tensor, "t d"]) -> Float[Tensor, "t"]:
    """What plans are judged by: the teacher's logits, computed in float64."""
    return score(teacher.to(torch.float64), inputs[None].double())[0].float()


@runtime_checkable
class Writer(Protocol):
    """Takes what consecutive plans say of all inputs."""

    def write(self, start: int, logits: Float[Tensor, "c t"]) -> None:
        """Of the plans that begin at place ``start``."""
        ...


def judge(
    teacher: Stack,
    inputs: Float[Tensor, "t d"],
    calibration: Calibration,
    watched: Float[Tensor, "m d"],
    plans: Int[np.ndarray, "p l"],
    writer: Writer,
    choices: Sequence[int] = CHOICES,
    activation_bits: int = 8,
) -> None:
    """Logits of some plans of one teacher (R = 1), in their order; ``plans`` are sorted, no two alike."""
    bits = torch.tensor([[b] * len(teacher.weights) for b in choices])
    first = calibration.quantize(teacher, bits, watched[None], [0] * len(choices), activation_bits).to(torch.float32)
    walk = _Walk(first, np.searchsorted(choices, plans), writer)
    walk.descend([first.take([0]).quantize_input(inputs[None].float())[0]], 0, len(plans))


@dataclass(frozen=True)
class _Table:
    """Where results go, and the teacher's logits they are judged by."""

    truth: Float[Tensor, "t"]
    recourse: int  # how many of the points are recourse points, which come first
    rows: int  # how many set the threshold, which come next; the rest are shown
    out: Float[Tensor, "5 p"]

    def write(self, start: int, logits: Float[Tensor, "c t"]) -> None:
        """Measures of consecutive plans."""
        at, rows, shown = self._parts(logits)
        truth_at, truth_rows, truth_shown = self._parts(self.truth[None])
        wanted = int(approved(truth_rows).sum())
        threshold = torch.from_numpy(match(rows.numpy(), wanted).threshold)
        place = slice(start, start + len(logits))
        self.out[0, place] = (~approved(at)).float().mean(1)
        self.out[1, place] = (~approved(at - threshold[:, None])).float().mean(1)
        self.out[2, place] = approved(shown).float().mean(1) - approved(truth_shown).float().mean()
        self.out[3, place] = (at - truth_at).square().mean(1)
        left = approved(shown - threshold[:, None]).float().mean(1)
        self.out[4, place] = left - approved(truth_shown).float().mean()

    def _parts(self, logits: Float[Tensor, "c t"]) -> list[Float[Tensor, "c _"]]:
        """Of recourse points, of the threshold's rows, of the rows that are shown."""
        ends = (self.recourse, self.recourse + self.rows)
        at, rows, shown = logits.tensor_split(ends, dim=1)
        return [at, rows, shown if shown.shape[1] else rows]


@dataclass(frozen=True)
class _Walk:
    """Through plans that are sorted, so that those that begin alike are neighbours."""

    models: QuantStack  # one a choice, the same for all layers
    plans: Int[np.ndarray, "p l"]  # places among the choices
    writer: Writer

    def descend(self, given: list[Float[Tensor, "t _"]], start: int, end: int) -> None:
        """Plans of places start to end, which share the layers so far; ``given`` are the codes that each of them and
        the next one receive."""
        layer = len(given) - 1
        chosen, first = np.unique(self.plans[start:end, layer], return_index=True)
        models = self.models.take(chosen.tolist())
        if layer + 1 == self.plans.shape[1]:
            return self.writer.write(start, self._output(models, given)[..., 0])
        ends = [*(start + first[1:]).tolist(), end]
        for run, (begin, until) in enumerate(zip((start + first).tolist(), ends, strict=True)):
            self.descend([*given, self._output(models.take([run]), given)[0]], begin, until)  # sums of codes are exact
        return None

    @staticmethod
    def _output(models: QuantStack, given: list[Float[Tensor, "t _"]]) -> Float[Tensor, "c t _"]:
        """What these models make of the codes that their next layer receives."""
        layer = len(given) - 1
        total = models.linear(layer, given[-1].expand(models.runs, -1, -1))
        return behind(models.architecture, models, layer, total, [g[None] for g in given[1:]]).output
