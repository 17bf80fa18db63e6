"""A fitted scikit-learn model as layers: scalers and one-hot encoders are affine maps, so they become the first one.

Read: LogisticRegression, MLPClassifier (two classes), and a Pipeline or ColumnTransformer of StandardScaler,
MinMaxScaler, MaxAbsScaler, RobustScaler, OneHotEncoder, OrdinalEncoder, passthrough in front of one of them. The
network is then asked about everybody beside the model itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from cfq_core.base.errors import BadInput
from cfq_core.models.columns import Block, Columns, plain
from cfq_core.models.contract import Contract
from cfq_core.models.own import OwnSpec, OwnTeacher
from cfq_core.models.ranking import ranked
from cfq_core.nets.layers import LOGIT, Activation, Layer
from cfq_core.nets.stack import Stack, score
from cfq_core.tables.fitted import fitted_whole
from cfq_core.tables.schema import Schema, Table

ACTIVATION: dict[str, Activation] = {"relu": "relu", "tanh": "tanh", "logistic": "sigmoid", "identity": "none"}
CLOSE = 1e-6  # logits, relative


@dataclass(frozen=True)
class _Affine:
    """Columns as ``weight @ (features of the card, a category one column a level) + bias``, and what each is called."""

    weight: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, "k"]
    words: tuple[tuple[str, ...], ...] = ()  # of columns that hold words: their levels, in the order of the weight's

    def take(self, rows: Sequence[int]) -> _Affine:
        return _Affine(self.weight[list(rows)], self.bias[list(rows)], tuple(self.words[r] for r in rows))

    def scaled(self, by: Any, plus: Any) -> _Affine:
        self._numbers()
        return _Affine(self.weight * np.asarray(by)[:, None], self.bias * by + plus, self.words)

    def _numbers(self) -> None:
        if any(self.words):
            raise _NotAffine("a scaler in front of words")

    @staticmethod
    def join(parts: Sequence[_Affine]) -> _Affine:
        words = tuple(w for p in parts for w in p.words)
        return _Affine(np.concatenate([p.weight for p in parts]), np.concatenate([p.bias for p in parts]), words)


class _NotAffine(Exception):
    """A step that is no affine map of columns."""


def sklearn_teacher(model: Any, contract: Contract, table: Table) -> OwnTeacher:
    """The model as a teacher; raises `BadInput` in one line."""
    table, name = fitted_whole(table), type(model).__name__
    schema = table.schema
    try:
        seen, last = _behind(model, _start(schema), schema)
        weights, biases, kinds = _layers(last)
    except _NotAffine as problem:
        raise BadInput(
            f"{name}: {problem}; it cannot be quantized here, export it to ONNX and audit the file"
        ) from None
    except (AttributeError, ValueError, IndexError, KeyError) as problem:
        raise BadInput(f"{name}: is not fitted, or not on the card's columns ({str(problem)[:160]})") from None
    if weights[0].shape[1] != len(seen.bias):
        raise BadInput(f"{name}: takes {weights[0].shape[1]} columns; the card makes {len(seen.bias)}")
    weights[0], biases[0] = weights[0] @ seen.weight, biases[0] + weights[0] @ seen.bias
    turned, cut = _side(last, contract, schema, name)
    weights[-1], biases[-1] = turned * weights[-1], turned * biases[-1] - cut
    tensors = [tuple(torch.from_numpy(np.ascontiguousarray(a, np.float64))[None] for a in x) for x in (weights, biases)]
    network = Stack(tensors[0], tensors[1], (*(Layer(k) for k in kinds), LOGIT))
    hot = tuple(Block(i, f.is_category) for i, f in enumerate(schema.features) if not f.aside)
    digest = hashlib.sha256(b"".join(a.tobytes() for t in tensors for a in (x.numpy() for x in t))).hexdigest()
    spec = OwnSpec(digest, Contract(contract.favourable, contract.threshold, "probability", "raw"))
    own = OwnTeacher(name, spec, network, Columns("raw", plain(schema), hot))
    _check(own, model, turned, cut, table)
    return own


def _start(schema: Schema) -> list[_Affine]:
    """Every feature as scikit-learn is given it: a number, or a word."""
    width = sum(f.width for f in schema.features)
    out, start = [], 0
    for f in schema.seen:
        size = f.width
        weight = np.zeros((size, width))
        weight[:, start : start + size] = np.eye(size)
        words = tuple(f.levels) if f.is_category or f.levels else ()
        out.append(_Affine(weight, np.zeros(size), (words,) * size))
        start += size
    return out


def _behind(model: Any, features: list[_Affine], schema: Schema) -> tuple[_Affine, Any]:
    """What the last step is given, and that step."""
    steps = [s for _, s in model.steps] if hasattr(model, "steps") else [model]
    given: list[_Affine] = _raw(features, steps[0])
    for step in steps[:-1]:
        given = _through(step, given, schema)
    return _Affine.join([_number(g) for g in given]), steps[-1]


def _raw(features: list[_Affine], first: Any) -> list[_Affine]:
    """One entry a column of what the model was fitted on: a feature each, or a category a column a level."""
    width = sum(len(f.bias) for f in features)
    if getattr(first, "n_features_in_", None) == width != len(features):
        each = [_Affine(f.weight[[k]], f.bias[[k]], ((),)) for f in features for k in range(len(f.bias))]
        return each
    return features


def _number(column: _Affine) -> _Affine:
    if any(column.words):
        raise _NotAffine("a column of words reaches the model without an encoder")
    return column


def _through(step: Any, given: list[_Affine], schema: Schema) -> list[_Affine]:
    """The columns behind a transformer, one entry each."""
    kind = type(step).__name__
    if step == "passthrough" or step is None or (kind == "FunctionTransformer" and step.func is None):
        return given
    if kind == "ColumnTransformer":
        return _of_columns(step, given, schema)
    if kind == "Pipeline":
        for inner in (s for _, s in step.steps):
            given = _through(inner, given, schema)
        return given
    if kind == "OneHotEncoder":
        return [c for column, k in zip(given, range(len(given)), strict=True) for c in _one_hot(step, column, k)]
    if kind == "OrdinalEncoder":
        return [_ordinal(step.categories_[k], column) for k, column in enumerate(given)]
    size = len(given)
    one, zero = np.ones(size), np.zeros(size)
    if kind == "StandardScaler":
        by = one / step.scale_ if step.scale_ is not None else one
        plus = -(step.mean_ if step.with_mean and step.mean_ is not None else zero) * by
    elif kind == "MinMaxScaler" and not step.clip:
        by, plus = step.scale_, step.min_
    elif kind == "MaxAbsScaler":
        by, plus = one / step.scale_, zero
    elif kind == "RobustScaler":
        by = one / step.scale_ if step.with_scaling else one
        plus = -(step.center_ if step.with_centering else zero) * by
    else:
        raise _NotAffine(f"its step {kind} is no affine map of columns that is known here")
    return [_number(c).scaled(np.array([b]), p) for c, b, p in zip(given, by, plus, strict=True)]


def _of_columns(step: Any, given: list[_Affine], schema: Schema) -> list[_Affine]:
    names = list(getattr(step, "feature_names_in_", [f.name for f in schema.seen]))
    place = {f.name: i for i, f in enumerate(schema.seen)}
    out: list[_Affine] = []
    for _, transformer, columns in step.transformers_:
        if transformer == "drop":
            continue
        chosen = [columns] if isinstance(columns, str | int) else list(columns)
        if chosen and isinstance(chosen[0], bool | np.bool_):
            chosen = [i for i, on in enumerate(chosen) if on]
        used = [c if isinstance(c, str) else names[int(c)] for c in chosen]
        if missing := [n for n in used if n not in place]:
            raise _NotAffine(f'its column "{missing[0]}" is no feature of the card')
        at = [place[n] for n in used]
        out += _through(transformer, [given[i] for i in at], schema)
    return out


def _one_hot(step: Any, column: _Affine, k: int) -> list[_Affine]:
    dropped = None if step.drop_idx_ is None else step.drop_idx_[k]
    levels = column.words[0] if column.words else ()
    if not levels or len(column.bias) != len(levels):
        raise _NotAffine("one-hot encodes a column that the card calls a number or ordinal")
    if getattr(step, "min_frequency", None) or getattr(step, "max_categories", None):
        raise _NotAffine("its OneHotEncoder joins rare levels")
    out = []
    for i, word in enumerate(step.categories_[k]):
        if i == dropped:
            continue
        at = [j for j, level in enumerate(levels) if level == str(word)]
        rows = column.weight[at].sum(0, keepdims=True)
        out.append(_Affine(rows, np.zeros(1), ((),)))
    return out


def _ordinal(words: Any, column: _Affine) -> _Affine:
    order = {str(w): float(i) for i, w in enumerate(words)}
    levels = column.words[0] if column.words else ()
    if not levels or any(level not in order for level in levels):
        raise _NotAffine("its OrdinalEncoder does not know the card's levels")
    value = np.array([order[level] for level in levels])
    if len(column.bias) == len(levels):
        return _Affine(value[None] @ column.weight, np.zeros(1), ((),))
    steps = np.diff(value)
    if not np.allclose(steps, steps[0]):
        raise _NotAffine("its OrdinalEncoder orders levels otherwise than the card")
    return _Affine(column.weight * steps[0], column.bias * steps[0] + value[0], ((),))


def _layers(last: Any) -> tuple[list[np.ndarray], list[np.ndarray], list[Activation]]:
    kind = type(last).__name__
    if kind == "LogisticRegression" and last.coef_.shape[0] == 1:
        return [np.array(last.coef_)], [np.array(last.intercept_)], []
    if kind == "MLPClassifier" and last.out_activation_ == "logistic" and last.n_outputs_ == 1:
        weights = [np.array(w).T for w in last.coefs_]
        return weights, [np.array(b) for b in last.intercepts_], [ACTIVATION[last.activation]] * (len(weights) - 1)
    raise _NotAffine(f"{kind} is no logistic regression or network of two classes")


def _side(last: Any, contract: Contract, schema: Schema, name: str) -> tuple[float, float]:
    """Sign of the favourable class, and the cut as a logit of its probability."""
    labels = [str(c) for c in last.classes_]
    cells = [i for i, word in enumerate(labels) if word in schema.favourable_cells]
    said = contract.favourable
    if said not in ("", "high", "low") and said not in labels:
        raise BadInput(f'{name}: favourable = "{said}"; one of high, low, {", ".join(labels)}')
    at = labels.index(said) if said in labels else 0 if said == "low" else cells[0] if not said and cells else 1
    p = 0.5 if contract.threshold is None else contract.threshold
    if not 0 < p < 1:
        raise BadInput(f"{name}: threshold = {p:g}; between 0 and 1, it is a probability")
    return (1.0 if at == 1 else -1.0), float(np.log(p) - np.log1p(-p))


def _check(own: OwnTeacher, model: Any, turned: float, cut: float, table: Table) -> None:
    """The network beside the model itself on everybody; and whether it ranks outcomes the right way round."""
    values = torch.tensor(own.columns.make(table.values))[None]
    found = score(own.network, values)[0].numpy()
    frame = table.frame()[[f.name for f in table.schema.seen]]
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        given: Any = frame.reindex(columns=list(names))  # columns that it was fitted beside, and drops, are empty
    elif getattr(model, "n_features_in_", 0) == values.shape[2]:
        given = values[0].numpy()
    else:
        given = _as_fitted(frame)
    p = np.clip(model.predict_proba(given)[:, 1], 1e-300, 1 - 1e-16)
    due = turned * (np.log(p) - np.log1p(-p)) - cut
    near = np.abs(due) < 30
    off = float((np.abs(found - due) / (1 + np.abs(due)))[near].max(initial=0.0))
    if off > CLOSE or ((found > 0) != (due > 0))[np.abs(due) > CLOSE].any():
        raise BadInput(
            f"{own.name}: its layers give other probabilities than predict_proba (logits by up to {off:.2g})"
        )
    if (auc := ranked(found, table.outcome)).backwards and not own.spec.contract.favourable:
        raise BadInput(f"{own.name}: ranks the outcomes backwards (AUC {auc.auc:.3f}); say which side is favourable")


def _as_fitted(frame: pd.DataFrame) -> Any:
    """Numbers as an array of floats where there are no words."""
    words = [c for c in frame if frame[c].dtype == object]
    return frame.to_numpy(object) if words else frame.to_numpy(float)
