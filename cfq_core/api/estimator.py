"""An audit as scikit-learn's users expect one: parameters in the constructor, `fit`, results that end in ``_``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cfq_core.api import shown
from cfq_core.api.stored import Study
from cfq_core.api.studies import study
from cfq_core.api.tables import card_text
from cfq_core.base import door
from cfq_core.base.errors import BadInput


class RecourseAudit(BaseEstimator):
    """How many of a fitted model's promises survive quantization: ``RecourseAudit(card).fit(model, X, y).report_``.

    Args:
        card: what the columns mean: the path of a card, a dict with its keys, or a draft.
        methods: names of quantization methods, or "all".
        bits: budgets, average bits per weight.
        seeds: how many, or a list; they vary split, calibration and people, never the model.
        kappa: the promise's margin in logits.
        people: refused test people a seed, or "all".
        store: folder of results; None: CFQ_STORE, else ./.cfq.
        progress: whether a bar is shown.

    Attributes:
        report_: one row a (method, budget), as `Study.summary` gives it.
        people_: one row a (run, refused person).
        study_: the `Study`, with its pictures, people and answers.
    """

    report_: pd.DataFrame
    people_: pd.DataFrame
    study_: Study

    def __init__(
        self,
        card: Any = None,
        methods: str | Sequence[str] = ("ptq",),
        bits: Sequence[float] = (2, 3, 4, 8),
        seeds: int | Sequence[int] = 5,
        kappa: float = 0.2,
        people: int | str = 2000,
        store: str | Path | None = None,
        progress: bool = False,
    ) -> None:
        self.card = card
        self.methods = methods
        self.bits = bits
        self.seeds = seeds
        self.kappa = kappa
        self.people = people
        self.store = store
        self.progress = progress

    def fit(self, model: Any, X: Any, y: Any = None) -> RecourseAudit:
        """Audit a fitted model on people and their outcomes.

        Args:
            model: a fitted scikit-learn model or pipeline, a torch module, or the path of an ONNX file.
            X: a DataFrame with the card's features; further columns are not used.
            y: outcomes, one a row, in the words of the card's target; None: the target is a column of ``X``.

        Raises:
            BadInput: in one line.
        """
        if self.card is None:
            raise BadInput("RecourseAudit: card is None; a card says what the columns mean: RecourseAudit(card)")
        frame = _people(X, y, _target(self.card))
        self.study_ = study(
            frame, self.card, self.methods, self.bits, self.seeds, model, self.store,
            kappa=self.kappa, people=self.people, progress=self.progress,
        )  # fmt: skip
        self.report_, self.people_ = self.study_.summary(), self.study_.people
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "study_")

    def _repr_html_(self) -> str:
        return self.study_._repr_html_() if hasattr(self, "study_") else shown.line(repr(self))

    def plot(self, name: str = "curves", **options: Any) -> Any:
        """A picture of the study, see `Study.plot`."""
        check_is_fitted(self)
        return self.study_.plot(name, **options)


def _target(card: Any) -> str:
    try:
        return str(tomllib.loads(card_text(card)[0])["target"])
    except (ValueError, KeyError):
        raise BadInput('RecourseAudit: the card has no key "target"; it names the column with the outcome') from None


def _people(X: Any, y: Any, target: str) -> pd.DataFrame:
    """Features and outcomes as one table."""
    if not isinstance(X, pd.DataFrame):
        raise BadInput(f"fit: X is {door.shown(X)}; a DataFrame with the card's features as columns is needed")
    if y is None:
        if target not in X:
            raise BadInput(f'fit: no y, and X has no column "{target}", the target of the card')
        return X
    outcomes = np.asarray(y)
    if outcomes.ndim != 1 or len(outcomes) != len(X):
        raise BadInput(f"fit: y has shape {outcomes.shape}; one outcome for each of the {len(X)} rows is needed")
    return X.assign(**{target: outcomes})
