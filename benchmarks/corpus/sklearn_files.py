"""scikit-learn, xgboost and lightgbm models as their converters write them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import ensemble, linear_model, naive_bayes, neighbors, neural_network, preprocessing, svm, tree
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline

from benchmarks.corpus.people import (
    BAD,
    CATEGORIES,
    FEATURES,
    GOOD,
    LEVELS,
    Input,
    Truth,
    hot,
    made,
    named,
    outcome,
    people,
    training,
)
from benchmarks.corpus.torch_files import Made

KINDS = {f: "str" if f in CATEGORIES else "int64" for f in FEATURES} | {"debt": "float32", "education": "int64"}


def models() -> dict[str, tuple[str, Any]]:
    """Fitted on a category one column a level and numbers as they are: family, model."""
    scaled = preprocessing.StandardScaler
    return {
        "lr": ("scikit-learn linear", make_pipeline(scaled(), linear_model.LogisticRegression())),
        "lr_minmax": (
            "scikit-learn linear",
            make_pipeline(preprocessing.MinMaxScaler(), linear_model.LogisticRegression(C=10)),
        ),
        "lr_robust": (
            "scikit-learn linear",
            make_pipeline(preprocessing.RobustScaler(), linear_model.LogisticRegression(C=10)),
        ),
        "sgd": (
            "scikit-learn linear",
            make_pipeline(scaled(), linear_model.SGDClassifier(loss="log_loss", random_state=0)),
        ),
        "mlp_relu": ("scikit-learn networks", make_pipeline(scaled(), _mlp("relu"))),
        "mlp_tanh": ("scikit-learn networks", make_pipeline(scaled(), _mlp("tanh"))),
        "mlp_logistic": ("scikit-learn networks", make_pipeline(scaled(), _mlp("logistic"))),
        "tree": ("trees", tree.DecisionTreeClassifier(max_depth=5, random_state=0)),
        "forest": ("forests", ensemble.RandomForestClassifier(20, max_depth=6, random_state=0)),
        "extra": ("forests", ensemble.ExtraTreesClassifier(20, max_depth=6, random_state=0)),
        "boosted": ("boosted trees", ensemble.GradientBoostingClassifier(n_estimators=30, random_state=0)),
        "hist": ("boosted trees", ensemble.HistGradientBoostingClassifier(max_iter=30, random_state=0)),
        "bagged": (
            "forests",
            ensemble.BaggingClassifier(linear_model.LogisticRegression(max_iter=2000), 5, random_state=0),
        ),
        "svc": ("support vectors", make_pipeline(scaled(), svm.SVC(probability=True, random_state=0))),
        "svc_linear": (
            "support vectors",
            make_pipeline(scaled(), svm.SVC(kernel="linear", probability=True, random_state=0)),
        ),
        "bayes": ("naive Bayes", naive_bayes.GaussianNB()),
        "neighbours": ("to be refused", make_pipeline(scaled(), neighbors.KNeighborsClassifier(9))),
    }


def _mlp(activation: str) -> Any:
    return neural_network.MLPClassifier((12, 8), activation=activation, max_iter=300, random_state=0)


def files(folder: Path) -> Iterator[Made]:
    """Every such teacher, written to a folder; one that its converter cannot write is left out."""
    x, rows = made(hot(False)).astype(np.float32), training()
    words, ints = np.where(outcome() > 0, GOOD, BAD), outcome().astype(int)
    for name, (family, model) in models().items():
        model.fit(x[rows], ints[rows])
        if (found := _write(folder / f"sk_{name}.onnx", model, x)) is not None:
            refuse = "no operator of this audit" if family == "to be refused" else ""
            yield Made(f"sk_{name}", family, found, refuse=refuse, words="loops and branches" if refuse else "")
    for name in ("lr", "mlp_relu", "forest"):
        model = models()[name][1].fit(x[rows], words[rows])
        for zipmap in (False, True):
            tag = "zipmap" if zipmap else "words"
            if (found := _write(folder / f"sk_{name}_{tag}.onnx", model, x, zipmap)) is not None:
                yield Made(f"sk_{name}_{tag}", "labels in words, ZipMap", found)
    yield from _pipelines(folder)
    yield from _boosted(folder, x, ints, rows)


def _write(path: Path, model: Any, x: np.ndarray, zipmap: bool = False) -> Truth | None:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    last = model[-1] if hasattr(model, "steps") else model
    try:
        proto = to_onnx(
            model,
            initial_types=[("x", FloatTensorType([None, x.shape[1]]))],
            target_opset={"": 15, "ai.onnx.ml": 3},
            options={id(last): {"zipmap": zipmap}},
        )
    except Exception as problem:  # whatever a converter says of a model that it does not know
        warnings.warn(f"{path.name}: {problem}", stacklevel=1)
        return None
    path.write_bytes(proto.SerializeToString())
    return _truth((Input("x", hot(False)),), model.classes_, zipmap)


def _truth(inputs: tuple[Input, ...], classes: Any, zipmap: bool = False) -> Truth:
    good = next(i for i, c in enumerate(classes) if str(c) in (GOOD, "1", "1.0"))
    if zipmap:
        return Truth(inputs, "output_probability", classes[good].item(), cut=0.5)
    return Truth(inputs, "probabilities", good, cut=0.5)


def _pipelines(folder: Path) -> Iterator[Made]:
    """The card's own columns, each an input; words through a one-hot encoder."""
    frame, words, rows = people()[list(FEATURES)].copy(), np.where(outcome() > 0, GOOD, BAD), training()
    frame["education"] = frame["education"].map(LEVELS["education"].index)
    numbers = [f for f in FEATURES if f not in CATEGORIES]
    for name, last, drop in (
        ("lr", linear_model.LogisticRegression(), None),
        ("lr_drop", linear_model.LogisticRegression(), "first"),
        ("mlp", _mlp("relu"), None),
        ("forest", ensemble.RandomForestClassifier(20, max_depth=6, random_state=0), None),
    ):
        hot_encoder = preprocessing.OneHotEncoder(drop=drop, sparse_output=False)
        columns = make_column_transformer((preprocessing.StandardScaler(), numbers), (hot_encoder, list(CATEGORIES)))
        model = make_pipeline(columns, last).fit(frame[rows], words[rows])
        if _write_named(folder / f"sk_named_{name}.onnx", model, frame):
            kinds = {f: "str" if f in CATEGORIES else "float32" for f in FEATURES}
            yield Made(f"sk_named_{name}", "named inputs, words", _truth(named(kinds), model.classes_))


def _write_named(path: Path, model: Any, frame: pd.DataFrame) -> bool:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    types = [(f, (StringTensorType if f in CATEGORIES else FloatTensorType)([None, 1])) for f in frame]
    try:
        proto = to_onnx(
            model,
            initial_types=types,
            target_opset={"": 15, "ai.onnx.ml": 3},
            options={id(model[-1]): {"zipmap": False}},
        )
    except Exception as problem:  # whatever a converter says
        warnings.warn(f"{path.name}: {problem}", stacklevel=1)
        return False
    path.write_bytes(proto.SerializeToString())
    return True


def _boosted(folder: Path, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Iterator[Made]:
    """Trees of two other libraries, by their converters."""
    import lightgbm
    import onnxmltools
    import xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [("x", FloatTensorType([None, x.shape[1]]))]
    inputs = (Input("x", hot(False)),)
    for depth in (2, 4):
        model = xgboost.XGBClassifier(n_estimators=25, max_depth=depth, n_jobs=1, random_state=0).fit(x[rows], y[rows])
        proto = onnxmltools.convert_xgboost(model, initial_types=types, target_opset=15)
        (folder / f"xgb_{depth}.onnx").write_bytes(proto.SerializeToString())
        yield Made(f"xgb_{depth}", "xgboost", Truth(inputs, "probabilities", 1, cut=0.5))
    for leaves in (4, 15):
        made_of = {"n_estimators": 25, "num_leaves": leaves, "n_jobs": 1, "random_state": 0, "verbose": -1}
        model = lightgbm.LGBMClassifier(**made_of).fit(x[rows], y[rows])
        proto = onnxmltools.convert_lightgbm(model, initial_types=types, target_opset=15, zipmap=False)
        (folder / f"lgb_{leaves}.onnx").write_bytes(proto.SerializeToString())
        yield Made(f"lgb_{leaves}", "lightgbm", Truth(inputs, "probabilities", 1, cut=0.5))
