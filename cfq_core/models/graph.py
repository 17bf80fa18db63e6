"""A graph that is being written."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Nodes and constants in the order they were added; every name is unique. ``floating``: what is computed in."""

    def __init__(self, floating: int) -> None:
        self.floating = floating
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        """A tensor that is there; its name."""
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """One more node; the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def wide(self, name: str, to: str) -> str:
        """In float64."""
        return self.node("Cast", [name], to, to=TensorProto.DOUBLE)

    def number(self, name: str, value: float) -> str:
        """A number of the graph's own type."""
        return self.constant(name, np.array(value, np.float32 if self.floating == TensorProto.FLOAT else np.float64))
