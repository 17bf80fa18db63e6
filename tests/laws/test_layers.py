"""A network is a list of layers: every activation, with and without residuals, a logistic regression too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cfq_core.base.seeds import repeatable, torch_stream
from cfq_core.certificates.logit_lower_bound import lower_bound_nearby, lower_bound_rounded
from cfq_core.nets.layers import ACTIVATIONS, CURVES, Layer, activated, code_range, read, restored, spelled, stored
from cfq_core.nets.lines import curve_lines, table_lines
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.forecast import rounding_noise
from cfq_core.quant.grid import Steps, untied
from cfq_core.quant.quantized import QuantStack
from cfq_core.study.models import arrays_of_student, arrays_of_teacher, student_of, teacher_of
from cfq_core.training.finetune import QatConfig, Student

INPUTS = 5
each_kind = pytest.mark.parametrize("kind", ACTIVATIONS)
each_shape = pytest.mark.parametrize(("hidden", "residual"), [((), False), ((8, 8, 8), False), ((8, 8, 8), True)])
each_bits = pytest.mark.parametrize("bits", [8, 4])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with repeatable():
        yield


def drawn(*shape: int, purpose: str = "x") -> Tensor:
    return torch.randn(*shape, generator=torch_stream(0, f"tests/layers/{purpose}"))


def network(kind: str, hidden: tuple[int, ...], residual: bool, runs: int = 2) -> Stack:
    made = Stack.initial(INPUTS, hidden, range(runs), kind, residual)  # type: ignore[arg-type]
    return replace(made, biases=tuple(0.3 * drawn(*b.shape, purpose=f"b{i}") for i, b in enumerate(made.biases)))


def rounded(teacher: Stack, weight_bits: int = 4, activation_bits: int = 8) -> QuantStack:
    plan = torch.full((teacher.runs, len(teacher.weights)), weight_bits)
    return Calibration().quantize(teacher, plan, drawn(teacher.runs, 400, INPUTS), None, activation_bits)


# ---------------------------------------------------------------------- float networks
@each_kind
def test_slopes_are_those_of_the_values(kind: str) -> None:
    x = torch.tensor([-7.0, -3.2, -1.5, -0.7, -1e-3, 1e-3, 0.4, 2.9, 3.1, 8.0], dtype=torch.float64)
    x = x if kind in ("relu", "leaky_relu") else torch.cat([x, torch.zeros(1, dtype=torch.float64)])
    curve, h = CURVES[kind], 1e-6  # type: ignore[index]
    torch.testing.assert_close(
        curve.slope(x), (curve.value(x + h) - curve.value(x - h)) / (2 * h), rtol=1e-6, atol=1e-7
    )
    x.requires_grad_()
    (found,) = torch.autograd.grad(activated(kind, x).sum(), x)  # type: ignore[arg-type]
    torch.testing.assert_close(found, curve.slope(x.detach()))


@each_kind
@each_shape
def test_gradients_are_those_of_finite_differences(kind: str, hidden: tuple[int, ...], residual: bool) -> None:
    of, x = network(kind, hidden, residual).to(torch.float64).trainable(), drawn(2, 6, INPUTS).double().requires_grad_()
    layers = len(of.weights)

    def logits(x: Tensor, *parameters: Tensor) -> Tensor:
        return score(replace(of, weights=parameters[:layers], biases=parameters[layers:]), x)

    assert torch.autograd.gradcheck(logits, (x, *of.parameters), eps=1e-6, atol=1e-5)


@each_kind
def test_an_element_does_not_depend_on_where_it_stands(kind: str) -> None:
    for dtype in (torch.float32, torch.float64):
        x = drawn(37).to(dtype) * 3
        alone = torch.cat([activated(kind, v[None]) for v in x])  # type: ignore[arg-type]
        assert torch.equal(activated(kind, x), alone)  # type: ignore[arg-type]


def test_torchs_own_activations_agree() -> None:
    from torch import nn

    theirs = {
        "relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(), "elu": nn.ELU(), "gelu": nn.GELU(), "silu": nn.SiLU(),
        "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "hard_swish": nn.Hardswish(), "none": nn.Identity(),
        "gelu_tanh": nn.GELU("tanh"),
    }  # fmt: skip
    x = drawn(1000).double() * 4
    for kind in ACTIVATIONS:
        torch.testing.assert_close(activated(kind, x), theirs[kind](x), rtol=1e-6, atol=1e-12)


# ---------------------------------------------------------------------- ReLU chains are what they were
def test_relu_chains_compute_bit_for_bit_what_a_plain_loop_does() -> None:
    of, x = network("relu", (16, 8), False), drawn(2, 64, INPUTS)
    q, hidden = rounded(of), x
    for weight, bias in zip(of.weights[:-1], of.biases[:-1], strict=True):
        hidden = torch.relu(torch.baddbmm(bias[:, None], hidden, weight.mT))
    assert torch.equal(score(of, x), torch.baddbmm(of.biases[-1][:, None], hidden, of.weights[-1].mT)[..., 0])
    codes = (x.double() / q.input_steps[0][:, None, None]).clamp(-128, 127).round()
    for layer, (weight, bias) in enumerate(zip(q.weights, q.biases, strict=True)):
        total = torch.baddbmm(bias[:, None], codes, weight.mT)
        total = total * (q.weight_steps[layer] * q.input_steps[layer][:, None])[:, None]
        if layer + 1 < len(q.weights):
            codes = (total / q.input_steps[layer + 1][:, None, None]).clamp(0, 255).round()
    assert torch.equal(score(q, x.double()), total[..., 0])
    assert not q.activations.tables and "architecture" not in arrays_of_student(q.take([0]))


# ---------------------------------------------------------------------- integer models
@each_kind
@each_shape
@each_bits
def test_integer_models_are_plain_integer_arithmetic(
    kind: str, hidden: tuple[int, ...], residual: bool, bits: int
) -> None:
    q, x = rounded(network(kind, hidden, residual), 4, bits), 2 * drawn(2, 300, INPUTS, purpose="y").double()
    found = score(q, x)
    for run in range(2):
        assert (found[run].numpy() == _in_numpy(q, run, x[run].numpy())).all()


def _in_numpy(q: QuantStack, run: int, x: np.ndarray) -> np.ndarray:
    low, high = -(2 ** (q.activations.bits - 1)), 2 ** (q.activations.bits - 1) - 1
    codes = [np.clip(np.rint(x / float(q.input_steps[0][run])), low, high).astype(np.int64)]
    for layer, each in enumerate(q.architecture):
        total = codes[-1] @ q.weights[layer][run].numpy().astype(np.int64).T + q.biases[layer][run].numpy().astype(
            np.int64
        )
        real = total * (q.weight_steps[layer][run] * q.input_steps[layer][run]).numpy()
        if layer + 1 == len(q.architecture):
            return real[:, 0]
        out = float(q.input_steps[layer + 1][run])
        step = out if each.skip is None else float(q.activations.branch_steps[layer][run])
        if each.activation in ("none", "relu"):
            floor = 0 if each.activation == "relu" else low
            adds = each.skip is not None or any(later.skip == layer for later in q.architecture)
            top = high if adds or each.activation == "none" else 2**q.activations.bits - 1
            code = np.clip(np.rint(real / step), floor, top).astype(np.int64)
        else:
            at = np.clip(np.rint(real / float(q.activations.total_steps[layer][run])), low, high).astype(np.int64)
            code = q.activations.tables[layer][run].numpy().astype(np.int64)[at - low]
        if each.skip is not None:
            both = code * step + codes[each.skip + 1] * float(q.input_steps[each.skip + 1][run])
            code = np.clip(np.rint(both / out), low, high).astype(np.int64)
        codes.append(code)
    raise AssertionError("the last layer gives the logit")


@pytest.mark.parametrize("kind", [k for k in ACTIVATIONS if k not in ("none", "relu")])
@each_bits
def test_tables_are_the_activation_rounded_and_hold_its_whole_range(kind: str, bits: int) -> None:
    q = rounded(network(kind, (8,), False), 8, bits)
    low, high = code_range(bits, signed=True)
    table, step = q.activations.tables[0], q.input_steps[1]
    assert table.shape == (2, 2**bits)
    real = CURVES[kind].value(torch.arange(low, high + 1).double() * q.activations.total_steps[0][:, None])  # type: ignore[index]
    inside = (table > table.amin()) & (table < table.amax())
    assert ((table * step[:, None] - real).abs() <= step[:, None] * 0.5 * (1 + 1e-9))[inside].all()
    least, most = (0, 2**bits - 1) if kind == "sigmoid" else (low, high)
    assert table.amin() >= least and table.amax() <= most


def test_sums_have_steps_without_ties() -> None:
    layers = (Layer("relu"), Layer("relu", 0), Layer("none"))
    start = torch.tensor([0.125, 0.03])
    steps = Steps((start, start, start.clone()), (torch.ones(2),) * 2, (torch.ones(2), start * 0.5))
    found = untied(steps.each(lambda s: s.float().double()), layers)
    code = torch.arange(-128, 128, dtype=torch.float64)
    for run in range(2):
        a, b, c = found.branch[1][run], found.given[1][run], found.given[2][run]
        ratio = (a * code[:, None] + b * code) / c
        ratio = ratio[ratio.abs() < 128]
        assert ((ratio - ratio.floor() - 0.5).abs() > 1e-6).all(), "no two codes lie on a tie"
        assert 1 <= float(c / start[run]) < 1.01 and float(c) == float(c.float())


@each_bits
def test_codes_of_activations_have_that_many_bits(bits: int) -> None:
    q, x = rounded(network("silu", (8, 8), True), 4, bits), 5 * drawn(2, 300, INPUTS).double()
    given = q.quantize_input(x)
    assert given.amin() >= -(2 ** (bits - 1)) and given.amax() <= 2 ** (bits - 1) - 1 and len(given.unique()) <= 2**bits
    out = q.activate(0, q.linear(0, given))
    assert len(out.unique()) <= 2**bits


# ---------------------------------------------------------------------- training
@each_kind
@pytest.mark.parametrize("residual", [False, True])
def test_training_sees_the_integer_model_and_every_step_receives_lsqs_gradient(kind: str, residual: bool) -> None:
    teacher, x = network(kind, (8, 8), residual), drawn(2, 200, INPUTS)
    bits = torch.full((2, 3), 4)
    student = Student(teacher, bits, x, [QatConfig()] * 2)
    moved = student.activation_move
    with torch.no_grad():
        of_weights = [step for each in student.weight_move for step in each]
        for i, p in enumerate((*moved.given, *moved.total, *moved.branch, *of_weights)):
            p += 0.01 * (i + 1)  # off the rim of a range, where only one of the two gradients is 0
    logits = student.logits(x)
    integer = score(student.deployed(), x.double())
    off = (logits.double() - integer).abs()
    assert (off < 1e-2).float().mean() > 0.9, "all but rows beside a tie are the deployed model's"
    found = torch.autograd.grad(logits.square().sum(), student.parameters)
    expected = torch.autograd.grad(_plainly(student, x).square().sum(), student.parameters)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-4 * float(theirs.abs().max() + 1e-3))


def _plainly(student: Student, x: Tensor) -> Tensor:
    """The same forward written as a loop, its gradients left to autograd through ``round``."""

    def grid(v: Tensor, step: Tensor, low: float, high: float) -> Tensor:
        u = torch.clamp(v / step, low, high)
        return (u + (u.round() - u).detach()) * step

    layers, steps = student.start.architecture, student.activation_steps()
    outputs = [grid(x, steps.given[0][:, None, None], -128, 127)]
    for layer, each in enumerate(layers):
        unit, low = student.weight_steps(layer), -8.0
        weight = grid(student.start.weights[layer], unit[..., None], low, 7.0)
        scale = (unit * steps.given[layer][:, None]).detach()
        bias = student.start.biases[layer] / scale
        bias = (bias + (bias.round() - bias).detach()) * scale
        total = torch.baddbmm(bias[:, None], outputs[-1], weight.mT)
        if layer + 1 == len(layers):
            return total[..., 0]
        signed = any(e.skip == layer for e in layers) or each.skip is not None
        if each.curved:
            total = grid(total, steps.total[layer][:, None, None], -128, 127)
        real = activated(each.activation, total)
        positive = each.activation in ("relu", "sigmoid")
        least, most = (0.0 if positive else -128.0), (255.0 if positive and not signed else 127.0)
        step = steps.given[layer + 1] if each.skip is None else steps.branch[layer]
        out = grid(real, step[:, None, None], least, most)
        if each.skip is not None:
            out = grid(out + outputs[each.skip + 1], steps.given[layer + 1][:, None, None], -128, 127)
        outputs.append(out)
    raise AssertionError("the last layer gives the logit")


# ---------------------------------------------------------------------- sound bounds
@dataclass(frozen=True)
class Box:
    """Sets of first pre-activations."""

    low: Tensor
    high: Tensor

    def ends(self) -> tuple[Tensor, Tensor]:
        return self.low, self.high

    def highest(self, forms: Tensor) -> Tensor:
        up, down = forms.clamp_min(0.0), forms.clamp_max(0.0)
        return (up * self.high[:, None]).sum(2) + (down * self.low[:, None]).sum(2)


def assert_sound(model: Stack | QuantStack, samples: int, sets: int = 30) -> None:
    """No sampled logit is above its set's form, its interval or `highest`; corners are among the samples."""
    x = drawn(model.runs, sets, INPUTS, purpose="sets").double()
    first = model.quantize_input(x) @ model.first_weight.mT + model.first_bias[:, None]
    unit = (
        torch.ones(1)
        if isinstance(model, Stack)
        else model.weight_steps[0][:, None] * model.input_steps[0][:, None, None]
    )
    generator = torch_stream(1, "tests/layers/bounds")
    for radius in (0.03, 0.4, 2.0):
        reach = (radius / unit).expand(first.shape)
        for run in range(model.runs):
            low, high = first[run] - reach[run], first[run] + reach[run]
            form = model.above(torch.full((sets,), run), Box(low, high))
            each = samples // (3 * model.runs * sets) + 1
            along = torch.rand(sets, each, low.shape[1], generator=generator, dtype=torch.float64)
            along[:, ::3] = along[:, ::3].round()
            z = low[:, None] + (high - low)[:, None] * along
            logits = model.take([run]).forward_from_first(z.reshape(1, -1, z.shape[2])).view(sets, each)
            room = 1e-8 * (1 + logits.abs())
            assert (logits <= (form.weight[:, None] * z).sum(2) + form.constant[:, None] + room).all()
            assert (logits <= form.top[:, None] + room).all()
            assert (logits <= model.take([run]).highest(low[None], high[None])[0][:, None] + room).all()


@each_kind
@each_shape
@pytest.mark.parametrize("of", ["float", "8-bit codes", "4-bit codes"])
def test_bounds_are_sound(kind: str, hidden: tuple[int, ...], residual: bool, of: str) -> None:
    teacher = network(kind, hidden, residual)
    assert_sound(teacher.to(torch.float64) if of == "float" else rounded(teacher, 4, int(of[0])), 20_000)


@pytest.mark.gate
@each_kind
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("of", ["float", "8-bit codes"])
def test_bounds_are_sound_on_a_million_samples(kind: str, residual: bool, of: str) -> None:
    teacher = network(kind, (8, 8, 8), residual)
    assert_sound(teacher.to(torch.float64) if of == "float" else rounded(teacher), 1_000_000)


@each_kind
def test_lines_hold_an_activation_and_its_table_between_them(kind: str) -> None:
    middle = 3 * drawn(1, 400, purpose="middles").double()
    width = torch.rand(1, 400, generator=torch_stream(2, "tests/layers/widths"), dtype=torch.float64) ** 3 * 8
    low, high = middle - width / 2, middle + width / 2
    z = low + (high - low) * torch.linspace(0, 1, 501, dtype=torch.float64)[:, None]
    lines, y = curve_lines(kind, low, high), CURVES[kind].value(z)  # type: ignore[arg-type, index]
    assert (y <= lines.above * z + lines.above_at + 1e-12).all() and (
        y >= lines.below * z + lines.below_at - 1e-12
    ).all()
    assert (y <= lines.most + 1e-12).all() and (y >= lines.least - 1e-12).all()
    p, s = torch.tensor([[0.041]], dtype=torch.float64), torch.tensor([[0.037]], dtype=torch.float64)
    code = torch.arange(-128, 128, dtype=torch.float64)
    table = (CURVES[kind].value(code * p[0]) / s[0]).round().clamp(-128, 127)  # type: ignore[index]
    y = table[((z / p).round().clamp(-128, 127) + 128).long()] * s
    lines = table_lines(kind, low, high, p, s, table, 8)  # type: ignore[arg-type]
    assert (y <= lines.above * z + lines.above_at + 1e-12).all() and (
        y >= lines.below * z + lines.below_at - 1e-12
    ).all()
    assert (y <= lines.most).all() and (y >= lines.least).all()


@each_kind
@each_shape
def test_no_rounding_and_no_point_nearby_goes_below_a_proved_logit(
    kind: str, hidden: tuple[int, ...], residual: bool
) -> None:
    teacher, x = network(kind, hidden, residual, runs=1), drawn(12, INPUTS, purpose="told").double()
    on = rounded(teacher, 6)
    lowest = torch.tensor(lower_bound_rounded(teacher, on, x.numpy()))
    generator = torch_stream(3, "tests/layers/rounding")
    for trial in range(40):
        weights, biases = [], []
        for w, b, s, unit in zip(teacher.weights, teacher.biases, on.weight_steps, on.input_steps, strict=True):
            off = [torch.rand(t.shape, generator=generator, dtype=torch.float64) * 2 - 1 for t in (w, b)]
            off = [t.sign() for t in off] if trial % 2 else off
            weights.append(w.double() / s[..., None] + off[0] / 2)
            biases.append(b.double() / (s * unit[:, None]) + off[1] / 2)
        assert (score(replace(on, weights=tuple(weights), biases=tuple(biases)), x[None])[0] >= lowest - 1e-9).all()
    for model in (teacher.to(torch.float64), on):
        near = torch.tensor(lower_bound_nearby(model, x.numpy(), [0, 2], 0.1, "each"))
        for _ in range(40):
            moved = x.clone()
            moved[:, [0, 2]] += (torch.rand(len(x), 2, generator=generator, dtype=torch.float64) * 2 - 1) * 0.1
            assert (score(model, moved[None])[0] >= near - 1e-9).all()


# ---------------------------------------------------------------------- stored, forecast
@each_kind
@each_shape
def test_stored_networks_come_back_whole(kind: str, hidden: tuple[int, ...], residual: bool) -> None:
    teacher = network(kind, hidden, residual, runs=1)
    for bits in (8, 6):
        q, x = rounded(teacher, 3, bits), drawn(1, 50, INPUTS).double()
        back = student_of(arrays_of_student(q))
        assert back.architecture == q.architecture and back.activations.bits == bits
        assert torch.equal(score(back, x), score(q, x))
    back = teacher_of(arrays_of_teacher(teacher))
    assert back.architecture == teacher.architecture and torch.equal(score(back, x.float()), score(teacher, x.float()))
    assert read(spelled(teacher.architecture)) == teacher.architecture
    assert restored(stored(teacher.architecture, 4)) == (teacher.architecture, 4)


@pytest.mark.parametrize("layers", [(Layer(), Layer()), (Layer("relu", 0), Layer("none")), (Layer("none"),)])
def test_what_is_no_architecture_is_refused(layers: tuple[Layer, ...]) -> None:
    of = network("relu", (8,), False)
    with pytest.raises(ValueError, match="no architecture"):
        replace(of, architecture=layers)


@each_kind
@pytest.mark.parametrize("residual", [False, True])
def test_forecasts_are_of_the_size_of_what_rounding_does(kind: str, residual: bool) -> None:
    teacher, x = network(kind, (8, 8), residual, runs=1), drawn(400, INPUTS, purpose="forecast").double()
    noise = rounding_noise(teacher, on := rounded(teacher, 8), x.numpy())
    off = (score(on, x[None]) - score(teacher.to(torch.float64), x[None]))[0].numpy()
    assert 0.2 < np.sqrt((off**2).mean() / (noise**2).mean()) < 5
