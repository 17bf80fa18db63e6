"""Networks of every kind of layer against onnxruntime, torch's exporter, enumeration and a whole study."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from cfq_core.base.seeds import repeatable, torch_stream
from cfq_core.export.flags import flags
from cfq_core.export.parity import parity
from cfq_core.export.stored import export_student, export_teacher, stored_run
from cfq_core.models.dense import dense
from cfq_core.models.provenance import Input, Provenance
from cfq_core.models.read import parse_model
from cfq_core.models.write import FORMS, student_model, teacher_model
from cfq_core.nets.layers import ACTIVATIONS, architecture, spelled
from cfq_core.nets.stack import Scorer, Stack, score
from cfq_core.pipeline import Setting
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.quantized import QuantStack
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import find_recourse
from cfq_core.recourse.search import Search
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.training.loop import TeacherTraining

from .test_exact import Nothing, assert_proved, enumerated
from .test_search_quality import small_case

WIDTH, PLAN = 7, (4, 3, 8, 2)
#: Activations whose whole study the gate makes, with and without residuals; CFQ_EACH=1: all. Every kind's files,
#: recourse and fake quantization are compared for themselves.
STUDIED = ACTIVATIONS if os.environ.get("CFQ_EACH") == "1" else ("relu", "relu", "gelu", "silu")
each_kind = pytest.mark.parametrize("kind", ACTIVATIONS)
each_shape = pytest.mark.parametrize(
    ("hidden", "residual"), [((), False), ((16,) * 3, False), ((16,) * 3, True)], ids=["none", "chain", "residual"]
)
each_bits = pytest.mark.parametrize("bits", [8, 4])


def network(kind: str, hidden: tuple[int, ...], residual: bool) -> Stack:
    made, generator = Stack.initial(WIDTH, hidden, [0], kind, residual), torch_stream(0, "tests/runtime")  # type: ignore[arg-type]
    return replace(made, biases=tuple(0.3 * torch.randn(b.shape, generator=generator) for b in made.biases))


def student(teacher: Stack, bits: int) -> QuantStack:
    inputs = torch.randn(1, 500, WIDTH, generator=torch_stream(1, "tests/runtime"))
    return Calibration().quantize(teacher, torch.tensor([PLAN[: len(teacher.weights)]]), inputs, None, bits)


def told(model: Stack | QuantStack) -> Provenance:
    inputs, spoken = tuple(Input(f"f{i}", "number", i) for i in range(WIDTH)), spelled(model.architecture)
    if isinstance(model, Stack):
        return Provenance("teacher", "made", "0" * 12, 0, 0.2, "granted", inputs, layers=spoken)
    bits, coded = PLAN[: len(model.weights)], model.activations.bits
    return Provenance(
        "student", "made", "0" * 12, 0, 0.2, "granted", inputs, bits=bits, layers=spoken, activation_bits=coded
    )


def assert_equal_in_onnxruntime(teacher: Stack, bits: int, rows: int) -> None:
    """0 differing decisions at every optimisation level, in both forms; the exact form's logits are equal."""
    q = student(teacher, bits)
    points = 1.5 * torch.randn(1, rows, WIDTH, generator=torch_stream(2, "tests/runtime"), dtype=torch.float64)
    x, exact = {"made": points[0].numpy()}, teacher.to(torch.float64)
    for form in FORMS:
        file = student_model(q, told(q), form)
        assert flags(parse_model(file.SerializeToString(), "a.onnx")) == (), "of another processor"
        found = parity(file, x, {"made": score(q, points)[0].numpy()})
        assert found.differing == 0, found.words
        assert found.largest == 0 or form == "standard", found.words
        assert (
            parity(teacher_model(teacher, told(teacher), form), x, {"made": score(exact, points)[0].numpy()}).differing
            == 0
        )


@each_kind
@each_shape
@each_bits
def test_integer_models_decide_as_onnxruntime_does(
    kind: str, hidden: tuple[int, ...], residual: bool, bits: int
) -> None:
    assert_equal_in_onnxruntime(network(kind, hidden, residual), bits, 1_000)


@pytest.mark.gate
@each_kind
@each_shape
@each_bits
def test_no_decision_of_a_hundred_thousand_differs(
    kind: str, hidden: tuple[int, ...], residual: bool, bits: int
) -> None:
    assert_equal_in_onnxruntime(network(kind, hidden, residual), bits, 100_000)


@each_kind
@each_shape
@pytest.mark.parametrize("form", FORMS)
def test_our_own_files_are_read_back_whole(kind: str, hidden: tuple[int, ...], residual: bool, form: str) -> None:
    teacher, points = network(kind, hidden, residual), torch.randn(1, 100, WIDTH).double()
    for model in (teacher, student(teacher, 8), student(teacher, 6)):
        write = teacher_model if isinstance(model, Stack) else student_model
        back = dense(parse_model(write(model, told(model), form).SerializeToString(), "a.onnx"))  # type: ignore[operator, arg-type]
        assert type(back) is type(model) and back.architecture == model.architecture  # type: ignore[union-attr]
        assert torch.equal(score(back, points), score(model.to(torch.float64), points))  # type: ignore[arg-type]


# ---------------------------------------------------------------------- what other tools write
class Residual(nn.Module):
    """Linear layers, the hidden ones behind the first on top of what they are given."""

    def __init__(self, act: nn.Module, inside: bool = True) -> None:
        super().__init__()
        self.first, self.more = nn.Linear(WIDTH, 12), nn.ModuleList(nn.Linear(12, 12) for _ in range(2))
        self.last, self.act, self.inside = nn.Linear(12, 1), act, inside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.act(self.first(x))
        for layer in self.more:
            h = h + (self.act(layer(h)) if self.inside else layer(h))
        return self.last(h)


class OnInputs(nn.Module):
    """A residual over the standardised inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.inner, self.last = nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x)
        return self.last(x + torch.relu(self.inner(x)))


KINDS = {
    "relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(), "elu": nn.ELU(), "gelu": nn.GELU(), "silu": nn.SiLU(),
    "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "hard_swish": nn.Hardswish(),
}  # fmt: skip
READ = {
    **{
        k: (nn.Sequential(nn.Linear(WIDTH, 9), a, nn.Linear(9, 8), a, nn.Linear(8, 1)), (k, k))
        for k, a in KINDS.items()
    },
    **{f"residual {k}": (Residual(a), (k, f"{k}+0", f"{k}+1")) for k, a in KINDS.items()},
    "residual of the linear part": (Residual(nn.ReLU(), inside=False), ("relu",)),
    "residual over the inputs": (OnInputs(), ("none", "relu+0")),
    "logistic regression": (nn.Sequential(nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, 1)), ()),
    "batch-norm before and behind": (
        nn.Sequential(
            nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(), nn.BatchNorm1d(9),
            nn.Linear(9, 1),
        ),
        ("relu",),
    ),
}  # fmt: skip
OTHER_NUMBERS = {
    "leaky_relu:0.2": nn.LeakyReLU(0.2),
    "gelu_tanh": nn.GELU("tanh"),
    "elu:0.5": nn.ELU(0.5),
}


def exported(model: nn.Module, opset: int) -> bytes:
    model.train(False)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm1d)):
        for tensor, low in ((norm.running_mean, -1.0), (norm.running_var, 0.5), (norm.weight, 0.5), (norm.bias, -1.0)):
            assert tensor is not None
            tensor.data.uniform_(low, 2.0, generator=torch_stream(3, "tests/runtime"))
    file, axes = io.BytesIO(), {"x": {0: "n"}, "y": {0: "n"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.randn(3, WIDTH),), file, dynamo=False, opset_version=opset, dynamic_axes=axes,
            input_names=["x"], output_names=["y"],
        )  # fmt: skip
    return file.getvalue()


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize("name", READ)
def test_what_torch_exports_is_read_as_layers(name: str, opset: int) -> None:
    (model, kinds), x = READ[name], torch.randn(200, WIDTH)
    found = dense(parse_model(exported(model, opset), "a.onnx"))
    assert isinstance(found, Stack) and spelled(found.architecture[:-1]) == kinds
    with torch.no_grad():
        expected = model.double()(x.double())[:, 0]
    model.float()
    torch.testing.assert_close(score(found, x.double()[None])[0], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize("kind", OTHER_NUMBERS)
def test_an_activation_with_numbers_of_its_own_is_read_with_them(kind: str, opset: int) -> None:
    model, x = nn.Sequential(nn.Linear(WIDTH, 9), OTHER_NUMBERS[kind], nn.Linear(9, 1)), torch.randn(200, WIDTH)
    found = dense(parse_model(exported(model, opset), "a.onnx"))
    assert isinstance(found, Stack) and found.architecture[0].activation.startswith(kind)  # the number as float32
    with torch.no_grad():
        expected = model.double()(x.double())[:, 0]
    model.float()
    torch.testing.assert_close(score(found, x.double()[None])[0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("taken", ["by another layer", "beside the chain"])
def test_a_sum_whose_part_is_wanted_elsewhere_is_not_read(taken: str) -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.d = nn.Linear(WIDTH, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 1)
            self.e = nn.Linear(WIDTH, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = torch.relu(self.a(x))
            branch = torch.relu(self.b(first))
            if taken == "by another layer":
                return self.d(torch.relu(self.c(first + branch)) + branch)
            return self.d(torch.relu(self.c(branch)) + torch.relu(self.e(x)))

    assert dense(parse_model(exported(Forked(), 13), "a.onnx")) is None


# ---------------------------------------------------------------------- exact recourse
@pytest.mark.parametrize("kind", ["leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "hard_swish", "none"])
def test_exact_recourse_equals_enumeration_on_curved_and_residual_networks(kind: str) -> None:
    model, queries, rules = small_case([0], people=8)
    steep = 60 if kind == "sigmoid" else 1  # it passes a quarter of what it is given, and that three times
    weights = (*model.weights[:-1], model.weights[-1] * steep)
    model = replace(model, weights=weights, architecture=architecture((12, 12), kind, residual=True))  # type: ignore[arg-type]
    inputs = torch.tensor(queries[0].encoding.encode(queries[0].values), dtype=torch.float32)[None]
    shift = score(model, inputs).quantile(0.85)
    model = replace(model, biases=(*model.biases[:-1], model.biases[-1] - shift))
    models: list[Scorer] = [model, Calibration().quantize(model, torch.full((1, 3), 8), inputs)]
    for of in models:
        best = np.array(enumerated(of, 0, queries[0], rules))
        assert np.isfinite(best).any()
        with repeatable():
            answer = find_recourse(of, queries, Exact(warm=Search(), boxes=10**6), 0.2)
        assert_proved(answer, best)


def test_exact_recourse_of_a_logistic_regression_is_proved_at_once() -> None:
    model, queries, rules = small_case([0], people=20)
    flat = Stack((model.weights[0][:, :1] * 3,), (model.biases[0][:, :1] - 1,))
    best = np.array(enumerated(flat, 0, queries[0], rules))
    assert np.isfinite(best).any()
    assert_proved(find_recourse(flat, queries, Exact(warm=Nothing(), boxes=2000), 0.2), best)


# ---------------------------------------------------------------------- a whole study
SMALL = TeacherTraining(epochs=8, rows_per_step=32)


@pytest.mark.parametrize(
    ("kind", "residual", "hidden", "bits"),
    [
        pytest.param("silu", True, (8, 8), 8, marks=pytest.mark.gate),
        ("relu", False, (), 8),
        *(pytest.param(k, i % 2 == 0, (8, 8, 8), 4, marks=pytest.mark.gate) for i, k in enumerate(STUDIED)),
        *(pytest.param(k, False, (), 6, marks=pytest.mark.gate) for k in ("relu", "gelu")),
    ],
)
def test_a_study_runs_end_to_end_and_its_files_decide_alike(
    tmp_path: Path, kind: str, residual: bool, hidden: tuple[int, ...], bits: int
) -> None:
    setting = Setting(
        hidden, people=12, n_reaudited=6, n_training_recourse=30, teacher_training=SMALL, activation=kind,  # type: ignore[arg-type]
        residual=residual, activation_bits=bits,
    )  # fmt: skip
    methods = ("ptq", "adaround", "ptq_hawq", "ptq_recourse", "cf_ptq", "qat_pact")
    deep = len(hidden) == 3  # one budget of every kind; of the others, whatever a plan can ask
    budgets, probes = ((3.0,), ("action_noise",)) if deep else ((3.0, 8.0), ("action_noise", "deployment_variants"))
    store = Store(tmp_path / "store")
    id = run_plan(Plan(("diabetes",), methods, budgets, (0,), setting, probes=probes), store, 0)
    rows = store.runs(id)
    skipped = store.skipped(id)  # where no training person has recourse on a teacher that hardly learned
    assert len(rows) + len(skipped) == len(budgets) * len(methods) and len(rows) >= 3 * len(budgets)
    for row in rows[:2]:
        run = stored_run(store, row["id"])
        assert spelled(run.student.architecture) == spelled(architecture(hidden, kind, residual))  # type: ignore[arg-type]
        assert run.student.activations.bits == bits
        for write in (export_student, export_teacher):
            found = write(run, tmp_path / "a.onnx")
            assert found.parity.differing == 0
        assert onnx.load(tmp_path / "a.onnx").graph.node
    store.close()
