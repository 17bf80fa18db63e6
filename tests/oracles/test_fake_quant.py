"""Learned steps against torch's own kernel, finite differences and the deployed integers."""

from dataclasses import replace

import torch

from cfq_core.nets.layers import code_range
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.fake import FakeQuantize
from cfq_core.quant.grid import signed_range
from cfq_core.quant.training_data import TrainingData
from cfq_core.training.finetune import QatConfig, Schedule, Student, _FakeQuantized, finetune
from cfq_core.training.gates import Gates
from cfq_core.training.losses import Weights


def fake(v: torch.Tensor, step: torch.Tensor, low: float, high: float, clip_only: float = 0.0) -> torch.Tensor:
    return FakeQuantize.apply(v, step, torch.tensor(low), torch.tensor(high), torch.tensor(clip_only))


def test_the_forward_equals_torchs_learnable_kernel() -> None:
    v, step = torch.randn(4000), torch.tensor([0.13])
    theirs = torch._fake_quantize_learnable_per_tensor_affine(v, step, torch.zeros(1), -8, 7, 1.0)
    assert torch.allclose(fake(v, step, -8.0, 7.0), theirs, atol=1e-6)


def test_the_step_gradient_is_lsqs() -> None:
    """round(u) - u inside, the rim's code outside (Esser et al., eq. 3), each value alone."""
    for value in (-1.3, -0.51, -0.02, 0.0, 0.07, 0.33, 0.9, 2.0):
        v, step = torch.tensor([value]), torch.tensor([0.25], requires_grad=True)
        fake(v, step, -4.0, 3.0).sum().backward()
        u = value / 0.25
        wanted = -4.0 if u <= -4 else 3.0 if u >= 3 else round(u) - u
        assert torch.isclose(step.grad, torch.tensor([wanted]), atol=1e-5).all()


def test_the_step_gradient_outside_the_range_equals_finite_differences() -> None:
    v = torch.cat([torch.full((50,), 3.0), torch.full((50,), -3.0)]).double()
    step = torch.tensor([0.25], dtype=torch.float64, requires_grad=True)
    fake(v, step, -4.0, 3.0).sum().backward()
    nudge = 1e-6
    difference = (fake(v, step.detach() + nudge, -4.0, 3.0) - fake(v, step.detach() - nudge, -4.0, 3.0)).sum() / (
        2 * nudge
    )
    assert torch.isclose(step.grad[0], difference, rtol=1e-5)


def test_pacts_clip_gradient_counts_the_clipped_values_only() -> None:
    """dy/da = 1 where x >= a, with a = step * high, and nothing inside (Choi et al., eq. 3)."""
    v, high = torch.linspace(-1, 3, 400), 255.0
    step = torch.tensor([2.0 / high], requires_grad=True)
    fake(v, step, 0.0, high, clip_only=1.0).sum().backward()
    assert torch.isclose(step.grad[0] / high, (v >= 2.0).float().sum(), rtol=1e-5)


def test_values_pass_straight_through_inside_the_range_only() -> None:
    v = torch.tensor([-2.0, -0.9, 0.1, 0.7, 2.0], requires_grad=True)
    fake(v, torch.tensor([0.25]), -4.0, 3.0).sum().backward()
    assert v.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def data(rows: int = 120) -> TrainingData:
    teachers = Stack.initial(6, (12, 8), [0, 1])
    inputs = torch.randn(2, rows, 6, generator=torch.Generator().manual_seed(5))
    return TrainingData(teachers, inputs, (score(teachers, inputs) > 0).float(), (0, 1))


def test_what_training_sees_is_what_is_deployed() -> None:
    m = data()
    bits = torch.tensor([[2, 3, 8], [4, 4, 4]])
    student = Student(m.teachers, bits, m.inputs, [QatConfig(), QatConfig(steps="pact")])
    with torch.no_grad():
        simulated = student.logits(m.inputs)
    deployed = score(student.deployed().to(torch.float64), m.inputs.double())
    near = (simulated - deployed).abs() < 1e-3
    assert near.float().mean() > 0.97  # float32 sums may turn a code at a tie; nothing else may differ


def test_every_trained_tensor_receives_a_gradient_and_a_frozen_backbone_none() -> None:
    m = data()
    how = [QatConfig(), QatConfig(Weights(task=0.0, distill=1.0), weights=False)]
    student = Student(m.teachers, torch.full((2, 3), 3), m.inputs, how)
    student.logits(m.inputs).square().sum().backward()
    student.mask_gradients()
    assert all(p.grad is not None and p.grad[0].abs().sum() > 0 for p in student.parameters)
    assert all(float(p.grad[1].abs().sum()) == 0.0 for p in student.start.parameters)


def test_training_leaves_the_teacher_alone_and_repeats_bit_for_bit() -> None:
    m = data()
    before = [p.clone() for p in m.teachers.parameters]
    once, twice = (finetune(m, [0, 1], torch.full((2, 3), 2), [QatConfig()] * 2, Schedule()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(before, m.teachers.parameters, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(once.weights, twice.weights, strict=True))


def test_codes_stay_in_their_range_after_training() -> None:
    m = data()
    bits = torch.tensor([[2, 4, 8], [3, 2, 4]])
    trained = finetune(m, [0, 1], bits, [QatConfig(), QatConfig(steps="pact")], Schedule())
    for layer, weight in enumerate(trained.weights):
        low, high = signed_range(bits[:, layer])
        assert (weight >= low[:, None, None]).all() and (weight <= high[:, None, None]).all()
        assert torch.equal(weight, weight.round())
    assert code_range(8, signed=False)[1] == 255


def test_pact_learns_the_clip_of_the_activations_grid() -> None:
    """The gradient of a 4-bit activation's clip is the sum of the gradients of what lies above it, by hand."""
    m = replace(data(), activation_bits=4)
    student = Student(m.teachers, torch.full((2, 3), 4), m.inputs, [QatConfig(steps="pact")] * 2, activation_bits=4)
    steps = student.activation_steps()
    step = steps.given[1].detach().requires_grad_()
    values = torch.rand(2, 50, 12) * 20 * step.detach()[:, None, None]
    how = _FakeQuantized(student, replace(steps, given=(steps.given[0], step, *steps.given[2:])))
    coded = how.activate(0, values)
    slopes = torch.randn(coded.shape)
    (coded * slopes).sum().backward()
    above = values >= 15 * step.detach()[:, None, None]
    assert torch.isclose(step.grad / 15, (slopes * above).sum((1, 2)), rtol=1e-4, atol=1e-4).all()
    assert (coded / step.detach()[:, None, None]).max() <= 15.01
    trained = finetune(m, [0, 1], torch.full((2, 3), 4), [QatConfig(steps="pact")] * 2, Schedule())
    assert trained.activations.bits == 4
    assert all((a != b).all() for a, b in zip(trained.input_steps[1:], steps.given[1:], strict=True))


def test_the_decay_of_pacts_clips_is_lambda_times_their_squares() -> None:
    m = data()
    how = [QatConfig(steps="pact", clip_decay=0.01), QatConfig(clip_decay=0.01)]
    student = Student(m.teachers, torch.full((2, 3), 4), m.inputs, how)
    clips = [255 * step for step in student.activation_steps().given[1:]]
    assert torch.isclose(student.held_clips()[0], 0.01 * sum(c[0] ** 2 for c in clips))
    assert student.held_clips()[1] == 0  # LSQ has no clip of its own
    tight, loose = (
        finetune(m, [0, 1], torch.full((2, 3), 4), [QatConfig(steps="pact", clip_decay=x)] * 2, Schedule())
        for x in (1.0, 0.0)
    )
    assert all((a < b).all() for a, b in zip(tight.input_steps[1:], loose.input_steps[1:], strict=True))


def test_gates_see_every_choice_as_it_will_be_deployed() -> None:
    """With all shares on one choice the mixture is the student of those bits, int32 biases and all."""
    m = data()
    for choice, bits in enumerate((2, 3, 4, 8)):
        gates = Gates(m.teachers.sizes, (2, 3, 4, 8), torch.tensor([4.0, 4.0]))
        with torch.no_grad():
            gates.logits.fill_(-1e4)
            gates.logits[..., choice] = 0.0
        each = [QatConfig()] * 2
        mixed = Student(m.teachers, torch.full((2, 3), 8), m.inputs, each, gates)
        alone = Student(m.teachers, torch.full((2, 3), bits), m.inputs, each)
        assert torch.equal(mixed.logits(m.inputs), alone.logits(m.inputs))
        mixed.logits(m.inputs).square().sum().backward()
        moved = [[m.grad.abs().sum() > 0 for m in each] for each in mixed.weight_move]
        assert all(which == [c == choice for c in range(4)] for which in moved)
