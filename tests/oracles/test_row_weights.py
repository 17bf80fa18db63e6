"""A row of weight w counts in training as w rows do: against repeated rows and scikit-learn's sample weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from cfq_core.allocators.hessian_trace import hessian_traces
from cfq_core.allocators.loss_sensitivity import LossSensitivity
from cfq_core.base.seeds import repeatable, torch_stream
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import TrainingData
from cfq_core.training.finetune import QatConfig, Schedule, Student, objectives
from cfq_core.training.loop import Fold, TeacherTraining, train_teachers
from cfq_core.training.losses import LossInputs, Weights, columns, task_loss, total

ROWS, INPUTS = 64, 3


def _rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs, outcomes and whole weights, some of them 0, of two runs."""
    random = torch_stream(0, "tests/row_weights")
    x = torch.randn(2, ROWS, INPUTS, generator=random)
    y = (x[..., 0] - 0.5 * x[..., 1] + torch.randn(2, ROWS, generator=random) > 0.3).float()
    count = torch.randint(0, 5, (2, ROWS), generator=random).float()
    count[1] = count[0].roll(5)  # as many rows in all
    return x, y, count


INPUT, OUTCOME, COUNT = _rows()


def _of_mean_one(count: torch.Tensor) -> torch.Tensor:
    return count / count.mean(1, keepdim=True)


def _repeated(values: torch.Tensor) -> torch.Tensor:
    return torch.stack([v.repeat_interleave(c.long(), dim=0) for v, c in zip(values, COUNT, strict=True)])


def test_the_loss_and_its_gradient_are_those_of_repeated_rows() -> None:
    grads = []
    for x, y, w in ((INPUT, OUTCOME, _of_mean_one(COUNT)), (_repeated(INPUT), _repeated(OUTCOME), None)):
        stack = Stack.initial(INPUTS, (8, 4), (1, 2)).trainable()
        loss = task_loss(score(stack, x), y, w)
        loss.sum().backward()
        grads.append([loss.detach(), *(p.grad for p in stack.parameters)])
    for weighted, repeated in zip(*grads, strict=True):
        torch.testing.assert_close(weighted, repeated, rtol=1e-4, atol=1e-6)


def test_a_students_task_term_is_that_of_repeated_rows_and_its_other_terms_have_no_weights() -> None:
    stack = Stack.initial(INPUTS, (8, 4), (1, 2))
    student, teacher = score(stack, INPUT), score(Stack.initial(INPUTS, (8, 4), (3, 4)), INPUT)
    each = columns([Weights(task=1.0, distill=0.5, over=0.5, focus=0.5)] * 2)
    rest = columns([Weights(task=0.0, distill=0.5, over=0.5, focus=0.5)] * 2)
    found = total(LossInputs(OUTCOME, student, teacher, row_weight=_of_mean_one(COUNT)), each)
    task = task_loss(_repeated(student), _repeated(OUTCOME))
    torch.testing.assert_close(found, task + total(LossInputs(OUTCOME, student, teacher), rest))


def test_students_are_trained_on_the_weights_of_the_rows_they_draw() -> None:
    """The losses that training makes of whole epochs, added up, are the weighted loss of the table."""
    teachers = Stack.initial(INPUTS, (8, 4), (1, 2))
    data = TrainingData(teachers, INPUT, OUTCOME, (1, 2), row_weight=_of_mean_one(COUNT))
    bits = torch.full((2, 3), 8)
    student = Student(teachers, bits, INPUT, [QatConfig()] * 2)
    batches = objectives(student, data, [0, 1], Schedule(rows_per_step=16), ROWS // 16)
    made = torch.stack([loss.detach() for loss in batches]).mean(0)
    whole = task_loss(student.logits(INPUT).detach(), OUTCOME, _of_mean_one(COUNT))
    torch.testing.assert_close(made, whole, rtol=1e-4, atol=1e-5)


def test_profiles_of_layers_are_those_of_repeated_rows() -> None:
    teachers = Stack.initial(INPUTS, (8, 4), (1, 2))
    weighted = TrainingData(teachers, INPUT, OUTCOME, (1, 2), row_weight=_of_mean_one(COUNT))
    repeated = TrainingData(teachers, _repeated(INPUT), _repeated(OUTCOME), (1, 2))
    found, wanted = (LossSensitivity(least=-9.0).sensitivity(d, Calibration()) for d in (weighted, repeated))
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)
    traces = hessian_traces(teachers, INPUT, _of_mean_one(COUNT)), hessian_traces(teachers, _repeated(INPUT))
    torch.testing.assert_close(*traces, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weighted", [True, False])
def test_a_teacher_without_hidden_layers_is_scikit_learns_regression_with_sample_weights(weighted: bool) -> None:
    weight = _of_mean_one(COUNT) if weighted else None
    fold = Fold(INPUT, OUTCOME, weight)
    how = TeacherTraining(epochs=1500, rows_per_step=ROWS, learning_rate=0.05, weight_decay=0.0, patience=1500)
    with repeatable():
        taught = train_teachers(Stack.initial(INPUTS, (), (1, 2)), fold, fold, (1, 2), how)
    for run in range(2):
        by = None if weight is None else weight[run].double().numpy()
        sure = LogisticRegression(C=np.inf, max_iter=1000, tol=1e-10)
        sure.fit(INPUT[run].numpy(), OUTCOME[run].numpy(), sample_weight=by)
        np.testing.assert_allclose(taught.weights[0][run].numpy(), sure.coef_, atol=2e-3)
        np.testing.assert_allclose(taught.biases[0][run].numpy(), sure.intercept_, atol=2e-3)
    plain = LogisticRegression(C=np.inf).fit(INPUT[0].numpy(), OUTCOME[0].numpy())
    assert (np.abs(taught.weights[0][0].numpy() - plain.coef_).max() > 0.05) == weighted, "weights say something here"


def test_the_epoch_that_is_kept_is_the_best_of_the_weighted_validation_loss() -> None:
    """Training raises every logit; validation rows that were refused stop it, unless they have weight 0."""
    start, learned = Stack.initial(INPUTS, (), (1, 2)), Fold(INPUT, torch.ones(2, ROWS))
    how = TeacherTraining(epochs=30, rows_per_step=16, learning_rate=0.05, patience=30)
    kept = []
    for weight in (_of_mean_one(1 - OUTCOME), _of_mean_one(OUTCOME)):
        with repeatable():
            stack = train_teachers(start, learned, Fold(INPUT, OUTCOME, weight), (1, 2), how)
        kept.append(score(stack, INPUT).mean(1))
    assert (kept[1] > kept[0] + 1).all()
