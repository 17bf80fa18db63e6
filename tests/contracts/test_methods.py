"""Every method: its inputs are not changed, its budget is kept, and its students are repeatable integer models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import pytest
import torch

from cfq_core import pipeline
from cfq_core.base import plugins
from cfq_core.base.seeds import repeatable
from cfq_core.methods.method import Method, Qat, Students
from cfq_core.nets.stack import score
from cfq_core.quant.bits import average_bits
from cfq_core.quant.grid import BIAS_LIMIT, WEIGHT_BITS, signed_range
from cfq_core.quant.quantized import QuantStack
from cfq_core.quant.training_data import TrainingData

BUDGETS = (2.0, 3.5, 8.0)
BOTH = (0, 1)
every_method = pytest.mark.parametrize("name", plugins.names("methods"))
trained = [n for n, m in plugins.load_all("methods").items() if isinstance(m, Qat)]


class Workshop:
    """Students of the tiny cell, each made once."""

    def __init__(self, promises: list[pipeline.TeacherRecourse]) -> None:
        self.promises = promises
        self.changed: dict[str, bool] = {}  # by method: whether its data was changed by it

    def data(self, seeds: Sequence[int] = BOTH) -> TrainingData:
        return pipeline.training_data_of([self.promises[s] for s in seeds])

    @cache  # noqa: B019  (one workshop a session)
    def students(self, name: str, seeds: tuple[int, ...] = BOTH, budgets: tuple[float, ...] = BUDGETS) -> Students:
        data = self.data(seeds)
        before = _bytes(data)
        with repeatable():
            made = plugins.load("methods", name).students(data, budgets)
        self.changed[name] = self.changed.get(name, False) or _bytes(data) != before
        return made


@pytest.fixture(scope="session")
def workshop(cell) -> Workshop:  # type: ignore[no-untyped-def]
    return Workshop(cell.promises)


def _tensors(held: Any) -> list[torch.Tensor]:
    """Every tensor of a record, at any depth."""
    if isinstance(held, torch.Tensor):
        return [held]
    parts = [getattr(held, f.name) for f in fields(held)] if is_dataclass(held) else held
    return [x for part in parts for x in _tensors(part)] if is_dataclass(held) or isinstance(held, tuple) else []


def _bytes(data: TrainingData) -> list[bytes]:
    pairs = data.pairs
    held = [*data.teachers.parameters, data.inputs, data.outcome, pairs.start, pairs.end, pairs.count]
    return [t.numpy().tobytes() + str((t.shape, t.dtype, t.requires_grad, t.grad)).encode() for t in held]


def _differences(a: QuantStack, b: QuantStack) -> list[str]:
    """Which tensors of two models differ in any bit."""
    pairs = zip(_tensors(a), _tensors(b), strict=True)
    return [f"tensor {i} of shape {tuple(x.shape)}" for i, (x, y) in enumerate(pairs) if not torch.equal(x, y)]


@every_method
def test_a_method_is_a_method_and_says_what_it_looks_at(name: str) -> None:
    method = plugins.load("methods", name)
    assert isinstance(method, Method)
    assert method.title
    assert isinstance(method.needs_recourse, bool)


@every_method
def test_teachers_rows_and_recourse_are_not_changed(name: str, workshop: Workshop) -> None:
    workshop.students(name)
    assert not workshop.changed[name]


@every_method
def test_there_is_one_student_a_teacher_and_budget_and_no_budget_is_exceeded(name: str, workshop: Workshop) -> None:
    students, sizes = workshop.students(name), workshop.data().teachers.sizes
    wanted = [b for _ in BOTH for b in BUDGETS]
    assert students.models.runs == len(students.plans) == len(wanted)
    for plan, budget in zip(students.plans, wanted, strict=True):
        assert len(plan) == len(sizes)
        assert set(plan) <= set(WEIGHT_BITS), plan
        assert average_bits(plan, sizes) <= budget, (plan, budget)


@every_method
def test_a_student_is_integer_codes_in_range_with_int32_biases_and_positive_steps(
    name: str, workshop: Workshop
) -> None:
    students = workshop.students(name)
    models, bits = students.models, torch.tensor(students.plans)
    for layer, (weight, bias) in enumerate(zip(models.weights, models.biases, strict=True)):
        low, high = (b[:, None, None] for b in signed_range(bits[:, layer]))
        assert torch.equal(weight, weight.round())
        assert ((low <= weight) & (weight <= high)).all()
        assert torch.equal(bias, bias.round())
        assert ((bias >= -BIAS_LIMIT - 1) & (bias <= BIAS_LIMIT)).all()
    for step in (*models.weight_steps, *models.input_steps):
        assert (step > 0).all() and step.isfinite().all()
        assert torch.equal(step, step.float().double()), "a step is a float32 value, as a file keeps it"


@every_method
def test_students_use_more_than_one_code_and_decide_for_some_and_against_others(name: str, workshop: Workshop) -> None:
    models = workshop.students(name).models
    inputs = workshop.data().inputs[[s for s in BOTH for _ in BUDGETS]].double()
    logits = score(models, inputs)
    assert logits.isfinite().all()
    for weight in models.weights:
        assert (weight.flatten(1).amax(1) > weight.flatten(1).amin(1)).all()
    finest = [i for i, b in enumerate(BUDGETS * len(BOTH)) if b == max(BUDGETS)]
    assert ((logits[finest] > 0).any(1) & (logits[finest] <= 0).any(1)).all()


@every_method
def test_with_eight_bits_a_student_decides_nearly_as_its_teacher(name: str, workshop: Workshop) -> None:
    """A method may be lenient; one that forgets its teacher is broken."""
    data = workshop.data()
    models = workshop.students(name).models.take([i for i, b in enumerate(BUDGETS * 2) if b == 8.0])
    same = (score(models, data.inputs.double()) > 0) == (score(data.teachers, data.inputs) > 0)
    assert (same.double().mean(1) > 0.85).all()


@every_method
@pytest.mark.short("ptq", "ptq_shift", "ptq_recourse", "cf_ptq", "qat_lsq", "qat_mixed", "cfq_anchored")
def test_the_same_material_gives_the_same_bits(name: str, workshop: Workshop) -> None:
    with repeatable():
        again = plugins.load("methods", name).students(workshop.data(), BUDGETS)
    assert again.plans == workshop.students(name).plans
    assert not _differences(again.models, workshop.students(name).models)


@every_method
@pytest.mark.short("ptq", "ptq_shift", "ptq_recourse", "cf_ptq", "qat_lsq", "qat_mixed", "cfq_anchored")
def test_a_student_is_the_same_without_the_other_teacher(name: str, workshop: Workshop) -> None:
    together, alone = workshop.students(name), workshop.students(name, (1,))
    mine = range(len(BUDGETS), 2 * len(BUDGETS))
    assert alone.plans == together.plans[mine.start :]
    assert not _differences(alone.models, together.models.take(mine))


@every_method
@pytest.mark.short("ptq", "ptq_shift", "ptq_recourse", "cf_ptq", "qat_lsq", "qat_mixed", "cfq_anchored")
def test_a_student_is_the_same_without_the_other_budgets(name: str, workshop: Workshop) -> None:
    together, alone = workshop.students(name), workshop.students(name, BOTH, BUDGETS[1:2])
    mine = [1, 1 + len(BUDGETS)]
    assert alone.plans == tuple(together.plans[i] for i in mine)
    assert not _differences(alone.models, together.models.take(mine))


@pytest.mark.parametrize("name", trained)
def test_what_a_method_trains_is_what_its_recipe_says(name: str, workshop: Workshop) -> None:
    """A frozen backbone keeps its biases; a trained one moves them: the students differ from plain rounding."""
    method, data = plugins.load("methods", name), workshop.data()
    students = workshop.students(name)
    moved = []
    for layer, bias in enumerate(students.models.biases):
        unit = students.models.weight_steps[layer] * students.models.input_steps[layer][:, None]
        teacher = data.teachers.biases[layer][[s for s in BOTH for _ in BUDGETS]].double()
        moved.append(((bias * unit - teacher).abs() > 0.51 * unit).double().mean())
    if method.config.weights:
        assert max(moved) > 0.5, "no bias moved by more than its rounding"
    else:
        assert max(moved) == 0.0, "the backbone is frozen, yet a bias moved"


def test_the_budgets_can_be_told_apart(workshop: Workshop) -> None:
    """A contract that every method passes by ignoring its budget would be worth nothing."""
    sizes = workshop.data().teachers.sizes
    for name in plugins.names("methods"):
        fewest, _, most, *_ = (average_bits(p, sizes) for p in workshop.students(name).plans)
        assert fewest < most, name
