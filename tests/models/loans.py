"""A small table of loans, and model files of it as other tools write them; the true logit is known."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cfq_core.datasets.card import parse_card
from cfq_core.models.read import ModelFile, parse_model
from cfq_core.tables.schema import Table

CARD = """name = "loans"
title = "Synthetic loans"
csv = "loans.csv"
target = "status"
favourable = "repaid"

[[feature]]
name = "income"
kind = "integer"
move = "up"
{log}
[[feature]]
name = "debt"
kind = "number"
step = 0.01
move = "down"

[[feature]]
name = "housing"
kind = "category"
levels = ["family", "own", "rent"]

[[feature]]
name = "age"
kind = "integer"
protected = true
"""
NAMES = ("income", "debt", "housing", "age")
#: Of income, debt, family, own, rent, age as they are.
WEIGHT = np.array([[0.0016], [-6.0], [0.0], [0.9], [0.0], [0.0]], np.float32)
BIAS = np.array([-1.6], np.float32)


@cache
def csv(rows: int = 400) -> str:
    """The rows; the outcome follows the logit, with noise."""
    rng = np.random.default_rng(7)
    income, debt, age = rng.integers(900, 5000, rows), rng.uniform(0.02, 0.9, rows).round(2), rng.integers(19, 75, rows)
    housing = rng.choice(["rent", "own", "family"], rows)
    z = WEIGHT[0, 0] * income + WEIGHT[1, 0] * debt + WEIGHT[3, 0] * (housing == "own") + BIAS[0]
    good = rng.uniform(size=rows) < 1 / (1 + np.exp(-z))
    each = zip(income, debt, housing, age, good, strict=True)
    lines = [f"{i},{d:.2f},{h},{a},{'repaid' if g else 'defaulted'}" for i, d, h, a, g in each]
    return "\n".join(["income,debt,housing,age,status", *lines]) + "\n"


def table(log: bool = False, more: str = "") -> Table:
    """The table; ``more`` is written below its card."""
    return parse_card(CARD.format(log="log = true\n" if log else "") + more, csv(), "loans.toml", "loans.csv")


def raw(t: Table) -> np.ndarray:
    """What a file that takes raw columns is given."""
    frame = t.frame()
    hot = [(frame["housing"] == level).to_numpy(float) for level in ("family", "own", "rent")]
    return np.stack([frame["income"], frame["debt"], *hot, frame["age"]], axis=1).astype(np.float64)


def logits(t: Table) -> np.ndarray:
    """The true logit, in float64."""
    return (raw(t) @ WEIGHT.astype(float) + BIAS.astype(float))[:, 0]


def made(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], inputs: list[Any], outputs: list[Any], opset: int = 13
) -> bytes:
    """A file."""
    held = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


def tensor(name: str, width: int | None, kind: int = TensorProto.FLOAT, rows: Any = "n") -> Any:
    """The description of an input or output."""
    return helper.make_tensor_value_info(name, kind, [rows] if width is None else [rows, width])


def linear(*after: tuple[str, list[str]], weight: Any = WEIGHT, bias: Any = BIAS, **constants: Any) -> bytes:
    """A linear model of raw columns and what stands behind it."""
    names = ["y" if i == len(after) else f"t{i}" for i in range(len(after) + 1)]
    nodes = [helper.make_node("Gemm", ["x", "W", "b"], [names[0]])]
    nodes += [helper.make_node(k, [names[i], *extra], [names[i + 1]]) for i, (k, extra) in enumerate(after)]
    held = {"W": weight, "b": bias, **{k: np.float32(v) for k, v in constants.items()}}
    return made(nodes, held, [tensor("x", len(weight))], [tensor("y", 1)])


def file(content: bytes, name: str = "a.onnx", folder: Path | None = None) -> ModelFile:
    """As it is read."""
    return parse_model(content, name, folder)


def computed(content: bytes, feed: dict[str, Any], output: str | None = None) -> np.ndarray:
    """What onnxruntime alone makes of inputs."""
    session = onnxruntime.InferenceSession(content)
    return session.run([output] if output else None, feed)[0]
