"""Quantization-aware training of many runs as one stack: methods x budgets x seeds.

Bits, learned steps, loss weights and what is trained lie along the run axis. Every run reads its own
teacher's rows in an order that depends on its seed alone, so no run depends on its neighbours: not bit for bit either,
whatever else is in the stack, as long as all or none of its runs look at recourse points (`nets/elementwise.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.nets.elementwise import aligned, linear
from cfq_core.nets.forward import logit
from cfq_core.nets.layers import Architecture, activated, branch_range, code_range
from cfq_core.nets.optim import Adam
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.calibrate import Calibration, weight_step
from cfq_core.quant.fake import FakeQuantize
from cfq_core.quant.grid import Steps as ActivationSteps
from cfq_core.quant.grid import round_through, signed_range
from cfq_core.quant.quantized import QuantStack
from cfq_core.quant.sawb import sawb_step
from cfq_core.quant.training_data import RecoursePairs, TrainingData
from cfq_core.training.gates import Gates
from cfq_core.training.losses import LossInputs, Weights, columns, total
from cfq_core.training.online_recourse import OnlineRecourse

Steps = Literal["lsq", "pact"]

#: Where on a segment x + a delta the anchor looks: half anywhere, half around its end, where the boundary is.
NEAR_END = (0.8, 1.1)


@dataclass(frozen=True)
class QatConfig:
    """What one run trains, and against which losses."""

    KEY = "qat_config"
    losses: Weights = field(default_factory=Weights)
    steps: Steps = "lsq"  # pact: clip learned without the rounding term, weights on SAWB's statistics
    weights: bool = True  # False: the backbone is frozen, only steps are fitted
    step_rate: float = 1.0  # learning rate of log steps, as a multiple of the weights'
    clip_decay: float = 0.0  # lambda: PACT's loss is held by lambda times the sum of squared clips (arXiv 1805.06085)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: shared by all runs of a stack, whatever their method.

    Few bits are learned late: on Adult at 2 bits three times the steps at a higher rate halve what anchored CFQ
    breaks (chosen on validation people, benchmarks/README.md). A small table is read many times over, where the
    higher rate would only fit it closer.
    """

    KEY = "schedule"
    epochs: int = 60
    least_steps: int = 150
    most_steps: int = 3000
    rows_per_step: int = 256
    pairs_per_step: int = 128
    learning_rate: float = 5e-3
    small_rows: int = 2000  # training rows up to which a table counts as small
    small_learning_rate: float = 2e-3

    def rate(self, rows: int) -> float:
        """Peak learning rate for a table of this many training rows."""
        return self.small_learning_rate if rows <= self.small_rows else self.learning_rate

    def steps(self, rows: int) -> int:
        """Optimizer steps for a table of this many training rows."""
        wanted = self.epochs * math.ceil(rows / self.rows_per_step)
        return min(max(wanted, self.least_steps), self.most_steps)


class Student:
    """R networks in training: float weights, biases and log steps, one bit plan a run.

    Run r starts at model ``of[r]`` of ``teachers``; None for one run a model. Activations are watched once a model.
    With gates every layer is a mixture over their choices of bits, each with steps of its own.
    """

    def __init__(
        self,
        teachers: Stack,
        bits: Int[Tensor, "r l"],
        inputs: Float[Tensor, "m n d"],
        how: list[QatConfig],
        gates: Gates | None = None,
        of: Sequence[int] | None = None,
        activation_bits: int = 8,
    ) -> None:
        begin = Calibration().grids(teachers, bits, inputs, of, activation_bits)  # steps start at least squared error
        self.bits = bits
        self.start = begin.start.trainable()
        self.how = how
        self.gates = gates
        self.choices = [bits] if gates is None else [torch.full_like(bits, int(b)) for b in gates.choices]
        self.weight_log = [
            [weight_step(w, b[:, layer], "mse").log().float() for b in self.choices]
            for layer, w in enumerate(begin.start.weights)
        ]
        self.activation_log = begin.activations.each(lambda s: s.log().float())
        self.weight_move = [[torch.zeros_like(s, requires_grad=True) for s in each] for each in self.weight_log]
        self.activation_move = self.activation_log.each(lambda s: torch.zeros_like(s, requires_grad=True))
        self.rate = torch.tensor([h.step_rate for h in how])
        self.pact = torch.tensor([float(h.steps == "pact") for h in how])
        self.trained = torch.tensor([float(h.weights) for h in how])

    @property
    def parameters(self) -> list[Tensor]:
        """All trained tensors: weights and biases, then moves of the log steps."""
        gates = [] if self.gates is None else [self.gates.logits]
        move, layers = self.activation_move, self.start.architecture
        curved = [m for m, layer in zip(move.total, layers, strict=False) if layer.curved]
        added = [m for m, layer in zip(move.branch, layers, strict=False) if layer.skip is not None]
        weights = [m for each in self.weight_move for m in each]
        return [*self.start.parameters, *weights, *move.given, *curved, *added, *gates]

    def mask_gradients(self) -> None:
        """A frozen backbone receives no update."""
        for p in self.start.parameters:
            if p.grad is not None:
                p.grad *= self.trained.view(-1, *[1] * (p.dim() - 1))

    def weight_steps(self, layer: int, choice: int = 0) -> Float[Tensor, "r out"]:
        """Steps of a layer's weights: learned, or SAWB's statistics where the config is PACT."""
        log, move = self.weight_log[layer][choice], self.weight_move[layer][choice]
        learned = (log + self.rate[:, None] * move).exp()
        if not self.pact.any():
            return learned
        fixed = sawb_step(self.start.weights[layer].detach(), self.choices[choice][:, layer])
        return torch.where(self.pact[:, None] > 0, fixed, learned)

    def activation_steps(self) -> ActivationSteps:
        """Steps of all activations."""
        log, move = self.activation_log, self.activation_move
        pairs = ((log.given, move.given), (log.total, move.total), (log.branch, move.branch))
        given, total, branch = (tuple((a + self.rate * b).exp() for a, b in zip(*pair, strict=True)) for pair in pairs)
        return ActivationSteps(given, total, branch, log.bits)

    def logits(self, inputs: Float[Tensor, "r n d"]) -> Float[Tensor, "r n"]:
        """Fake-quantized forward with coded activations and int32 biases."""
        steps = self.activation_steps()
        given = _on_grid(inputs, steps.given[0], code_range(steps.bits, signed=True))
        how = _FakeQuantized(self, steps)
        return logit(self.start.architecture, how, how.linear(0, given))[..., 0]

    def layer(self, layer: int, given: Float[Tensor, "r 1 1"]) -> tuple[Float[Tensor, "r o i"], Float[Tensor, "r o"]]:
        """Weights and bias as they will be deployed, or the gates' mixture of what they might be."""
        each = [self._with_bits(layer, choice, given) for choice in range(len(self.choices))]
        if self.gates is None:
            return each[0]
        weights, biases = zip(*each, strict=True)
        return self.gates.expected(weights, layer), self.gates.expected(biases, layer)

    def _with_bits(
        self, layer: int, choice: int, given: Float[Tensor, "r 1 1"]
    ) -> tuple[Float[Tensor, "r o i"], Float[Tensor, "r o"]]:
        step = self.weight_steps(layer, choice)[..., None]
        low, high = (b.float()[:, None, None] for b in signed_range(self.choices[choice][:, layer]))
        weight = FakeQuantize.apply(self.start.weights[layer], step, low, high, torch.zeros(()))
        unit = (given * step).detach()[..., 0]
        return weight, round_through(self.start.biases[layer] / unit) * unit

    def deployed(self) -> QuantStack:
        """The trained runs as integer codes."""
        with torch.no_grad():
            layers = range(len(self.start.weights))
            weight_steps = [self.weight_steps(i) for i in layers]
            return QuantStack.of(self.start.frozen(), self.bits, weight_steps, self.activation_steps())

    def held_clips(self) -> Float[Tensor, "r"]:
        """PACT's own term of the loss: lambda times the sum of squared activation clips."""
        layers, steps = self.start.architecture, self.activation_steps()
        clips = [
            _output_step(layers, layer, steps) * code_range(steps.bits, signed=False)[1]
            for layer in range(len(layers) - 1)
            if _clips(layers, layer, steps.bits)
        ]
        decay = torch.tensor([h.clip_decay for h in self.how]) * self.pact
        return decay * sum((c.square() for c in clips), torch.zeros(()))


NEVER = torch.zeros(())  # PACT's clip is that of codes without a sign


def _clips(layers: Architecture, layer: int, bits: int) -> bool:
    """Whether an activation is clipped from above alone."""
    return branch_range(layers, layer, bits) == code_range(bits, signed=False)


def _output_step(layers: Architecture, layer: int, steps: ActivationSteps) -> Float[Tensor, "r"]:
    """Step of what an activation gives, before anything is added to it."""
    return steps.given[layer + 1] if layers[layer].skip is None else steps.branch[layer]


def _on_grid(
    x: Tensor, step: Float[Tensor, "r"], codes: tuple[float, float], clip_only: Tensor = NEVER
) -> Float[Tensor, "r n _"]:
    return FakeQuantize.apply(x, step[:, None, None], *codes, clip_only)


@dataclass(frozen=True)
class _FakeQuantized:
    """An interpreter of a student in training: every value lies on the grid that its integer model has."""

    student: Student
    steps: ActivationSteps

    def linear(self, layer: int, given: Float[Tensor, "r n i"]) -> Float[Tensor, "r n o"]:
        """The pre-activation of a layer with its weights as they will be deployed."""
        weight, bias = self.student.layer(layer, self.steps.given[layer][:, None, None])
        return linear(given, weight, bias)

    def activate(self, layer: int, total: Float[Tensor, "r n o"]) -> Float[Tensor, "r n o"]:
        """What the activation gives; of a curved one, from its pre-activation's code."""
        layers, steps = self.student.start.architecture, self.steps
        if layer + 1 == len(layers):
            return total
        each, codes = layers[layer], branch_range(layers, layer, steps.bits)
        if each.curved:
            total = _on_grid(total, steps.total[layer], code_range(steps.bits, signed=True))
        clip_only = self.student.pact[:, None, None] if _clips(layers, layer, steps.bits) else NEVER
        return _on_grid(activated(each.activation, total), _output_step(layers, layer, steps), codes, clip_only)

    def add(self, layer: int, branch: Float[Tensor, "r n o"], skip: Float[Tensor, "r n o"]) -> Float[Tensor, "r n o"]:
        """The sum with an earlier layer's output."""
        return _on_grid(branch + skip, self.steps.given[layer + 1], code_range(self.steps.bits, signed=True))


def finetune(
    data: TrainingData,
    teacher: Sequence[int],
    bits: Int[Tensor, "r l"],
    configs: Sequence[QatConfig],
    schedule: Schedule,
    online: OnlineRecourse | None = None,
) -> QuantStack:
    """Train R runs together: run r starts at ``data``'s teacher ``teacher[r]`` with plan ``bits[r]``.

    ``online`` makes recourse anew at every step, as the paper does, instead of taking the data's.
    """
    if len(teacher) == 1:  # a product of one run with one output takes another kernel
        return finetune(data, [*teacher] * 2, bits.repeat(2, 1), [*configs] * 2, schedule, online).take([0])
    how = list(configs)
    student = Student(data.teachers, bits, data.inputs, how, of=teacher, activation_bits=data.activation_bits)
    steps = schedule.steps(data.inputs.shape[1])
    rate = schedule.rate(data.inputs.shape[1])
    optimizer = Adam(student.parameters, lr=rate, fused=True)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=0.1)
    for loss in objectives(student, data, teacher, schedule, steps, online):
        optimizer.zero_grad()
        loss.sum().backward()
        student.mask_gradients()
        optimizer.step()
        decay.step()
    return student.deployed()


def objectives(
    student: Student,
    data: TrainingData,
    teacher: Sequence[int],
    schedule: Schedule,
    steps: int,
    online: OnlineRecourse | None = None,
) -> Iterator[Float[Tensor, "r"]]:
    """The loss of every run on one batch after the other."""
    of = torch.as_tensor(list(teacher))
    weight, teachers = columns([h.losses for h in student.how]), data.teachers.take(teacher)
    batches = _Batches(data, schedule, any(h.losses.at_recourse for h in student.how), online)
    for _ in range(steps):
        batch = batches.draw()
        inputs, split = torch.cat(batch.inputs, dim=1), [p.shape[1] for p in batch.inputs]
        with torch.no_grad():
            target = score(teachers, inputs[of]).split(split, dim=1)
        logits = student.logits(inputs[of]).split(split, dim=1)
        rows, *pairs = zip(logits, target, strict=True)
        counts = None if batch.row_weight is None else batch.row_weight[of]
        segment, end = pairs or (None, None)
        loss = total(LossInputs(batch.outcome[of], *rows, segment, end, counts), weight)
        yield loss + student.held_clips() if any(h.clip_decay for h in student.how) else loss


@dataclass(frozen=True)
class _Batch:
    inputs: list[Float[Tensor, "m _ d"]]  # rows; then points on segments and their ends
    outcome: Float[Tensor, "m b"]
    row_weight: Float[Tensor, "m b"] | None


class _Batches:
    """Rows and recourse of every teacher, in an order that depends on its seed alone."""

    def __init__(
        self, data: TrainingData, schedule: Schedule, at_recourse: bool, online: OnlineRecourse | None
    ) -> None:
        self.data, self.schedule, self.online = data, schedule, online
        self.pairs: RecoursePairs | None = data.pairs if at_recourse else None
        self.random = [torch_stream(s, "training/finetune") for s in data.seeds]
        self.random_pairs = [torch_stream(s, "training/pairs") for s in data.seeds]
        self.order = torch.zeros(len(self.random), 0, dtype=torch.int64)

    def draw(self) -> _Batch:
        """The next batch of every teacher."""
        size = aligned(min(self.schedule.rows_per_step, self.data.inputs.shape[1]))
        if self.order.shape[1] < size:
            rows = self.data.inputs.shape[1]
            self.order = torch.stack([torch.randperm(rows, generator=g) for g in self.random])
        batch, self.order = self.order[:, :size], self.order[:, size:]
        teacher = torch.arange(len(self.random))[:, None]
        inputs, outcome = self.data.inputs[teacher, batch], self.data.outcome[teacher, batch]
        weight = None if self.data.row_weight is None else self.data.row_weight[teacher, batch]
        pairs = () if self.pairs is None else self._segments(self.pairs)
        return _Batch([inputs, *pairs], outcome, weight)

    def _segments(self, pairs: RecoursePairs) -> tuple[Float[Tensor, "m p d"], Float[Tensor, "m p d"]]:
        """Points on segments and their ends, as many of every source."""
        sources = (pairs, *self.data.further)
        each = [self._of_source(p, self.schedule.pairs_per_step // len(sources)) for p in sources]
        return torch.cat([on for on, _ in each], dim=1), torch.cat([end for _, end in each], dim=1)

    def _of_source(self, pairs: RecoursePairs, size: int) -> tuple[Float[Tensor, "m q d"], Float[Tensor, "m q d"]]:
        chosen = torch.stack([torch.rand(size, generator=g) for g in self.random_pairs]) * pairs.count[:, None]
        along = torch.stack([torch.rand(size, generator=g) for g in self.random_pairs])
        low, high = NEAR_END
        along[:, size // 2 :] = low + (high - low) * along[:, size // 2 :]
        teacher, pair = torch.arange(len(self.random))[:, None], chosen.long()
        start, end = pairs.start[teacher, pair], pairs.end[teacher, pair]
        if self.online is not None:
            end = self.online.ends(self.data.teachers, start)
        return start + along[..., None] * (end - start), end
