"""An audit in scikit-learn's manner: parameters, clones, fitted attributes, and models that live there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import estimator_checks

import cfq_core as cfq
from cfq_core.base.errors import BadInput

CARD = Path(__file__).parents[2] / "data" / "cards" / "example.toml"


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return pd.read_csv(CARD.with_suffix(".csv"))


@pytest.fixture(scope="module")
def pipeline(people: pd.DataFrame) -> Any:
    numbers, words = ["income", "debt_share", "loan_amount", "months"], ["housing"]
    columns = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(), words))
    return make_pipeline(columns, LogisticRegression()).fit(people, people.approved == "yes")


def test_a_pipeline_is_audited_as_scikit_learns_users_expect(
    people: pd.DataFrame, pipeline: Any, tmp_path: Path
) -> None:
    audit = cfq.RecourseAudit(CARD, bits=[3, 8], seeds=2, people=20, store=tmp_path)
    assert audit.fit(pipeline, people.drop(columns="approved"), people.approved) is audit
    assert list(audit.report_.budget) == [3.0, 8.0] and len(audit.people_) == 80
    assert audit.report_.vd.iloc[1] <= audit.report_.vd.iloc[0] + 0.1
    assert "LogisticRegression" in audit.study_.stored.row["plan"]["teacher"]["path"] or audit.study_.methods == ["ptq"]
    assert "<table" in audit._repr_html_()
    again = clone(audit).fit(pipeline, people)  # the outcome may stand among the columns
    pd.testing.assert_frame_equal(again.report_, audit.report_)


@pytest.mark.gate
def test_a_torch_module_is_a_teacher_too(people: pd.DataFrame, tmp_path: Path) -> None:
    table = cfq.read_card(CARD)
    design = cfq.prepare(table, 0)
    x, y = torch.tensor(design.inputs(np.arange(len(table)))).float(), torch.tensor(table.outcome).float()
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 1))
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(150):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y).backward()
        optimiser.step()
    teacher = cfq.own_teacher(model, table, layout="standardised")
    found = cfq.study(people, CARD, bits=[8], seeds=1, people=20, teacher=teacher,
                      store=tmp_path, workers=0, progress=False)  # fmt: skip
    assert len(found.runs) == 1 and found.export(tmp_path / "mine.onnx")
    told = cfq.audit_models(
        table, model, tmp_path / "mine.onnx", people=20, layout="standardised", student_layout="auto"
    )
    assert told.pair.denied > 0


def test_parameters_are_got_set_and_cloned() -> None:
    audit = cfq.RecourseAudit("card.toml", bits=[2])
    assert audit.get_params()["bits"] == [2] and clone(audit).get_params() == audit.get_params()
    assert audit.set_params(kappa=0.5).kappa == 0.5
    with pytest.raises(ValueError, match="Invalid parameter"):
        audit.set_params(nothing=1)
    with pytest.raises(NotFittedError):
        audit.plot()


@pytest.mark.parametrize(
    "check",
    [
        "check_parameters_default_constructible", "check_get_params_invariance", "check_set_params",
        "check_no_attributes_set_in_init", "check_do_not_raise_errors_in_init_or_set_param",
        "check_estimator_repr", "check_estimator_cloneable",
    ],
)  # fmt: skip
def test_scikit_learns_own_checks_of_parameters_hold(check: str) -> None:
    found = getattr(estimator_checks, check, None)
    if found is None:
        pytest.skip(f"this scikit-learn has no {check}")
    found("RecourseAudit", cfq.RecourseAudit())


def test_what_cannot_be_audited_is_refused_in_one_line(people: pd.DataFrame, pipeline: Any, tmp_path: Path) -> None:
    audit = cfq.RecourseAudit(CARD, bits=[3], seeds=1, people=10, store=tmp_path)
    features = people.drop(columns="approved")
    forest = RandomForestClassifier(3).fit(people[["income", "months"]], people.approved)
    for call, words in (
        (lambda: cfq.RecourseAudit().fit(pipeline, people), "card is None"),
        (lambda: audit.fit(pipeline, people.to_numpy()), "X is a ndarray"),
        (lambda: audit.fit(pipeline, features), 'no column "approved"'),
        (lambda: audit.fit(pipeline, features, people.approved[:3]), "one outcome for each of the 400 rows"),
        (lambda: audit.fit(forest, people), "it cannot be quantized here, export it to ONNX"),
        (lambda: audit.fit("model", people), "no such file"),
    ):
        with pytest.raises(BadInput, match=words):
            call()
