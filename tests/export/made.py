"""Small models and people that no training made."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.svm import SVC

from cfq_core.models.provenance import Input, Provenance
from cfq_core.nets.stack import Stack
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.quantized import QuantStack


def made_student(plan: BitPlan, width: int = 12, seed: int = 0) -> QuantStack:
    """A quantized random network, biases and all."""
    generator = torch.Generator().manual_seed(seed)
    start = Stack.initial(width, [24] * (len(plan) - 1), [seed])
    biases = tuple(0.3 * torch.randn(b.shape, generator=generator) for b in start.biases)
    inputs = torch.randn(1, 500, width, generator=generator)
    return Calibration().quantize(Stack(start.weights, biases), torch.tensor([plan]), inputs)


def told(plan: BitPlan = (), width: int = 12) -> Provenance:
    """Metadata of a made model."""
    inputs = tuple(Input(f"f{i}", "number", i) for i in range(width))
    role = "student" if plan else "teacher"
    return Provenance(role, "made", "0" * 12, 0, 0.2, "granted", inputs, bits=plan)


def rows(n: int, width: int = 12) -> np.ndarray:
    """Standard normal people."""
    return np.random.default_rng(5).standard_normal((n, width))


def graph(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], width: int, outputs: int = 1, **of: object
) -> bytes:
    """A foreign file: one float32 input ``x``, one output ``y``."""
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", size]) for n, size in (("x", width), ("y", outputs))
    ]
    held = [numpy_helper.from_array(np.array(v), k) for k, v in constants.items()]
    made = helper.make_graph(nodes, "foreign", ends[:1], ends[1:], held)
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=imports, ir_version=8, **of).SerializeToString()


def network(
    width: int, hidden: str = "Relu", end: str = "", outputs: int = 1, seed: int = 0, scaled: bool = False
) -> bytes:
    """A dense network as other tools write it: MatMul and Add, then Gemm, perhaps behind a scaler."""
    random = np.random.default_rng(seed)
    sizes = [(width, 10), (10, 8), (8, outputs)]
    gain = 6.0 if hidden == "Sigmoid" else 1.5  # a sigmoid passes a quarter of what it is given
    weights = [(random.standard_normal(s) * gain / np.sqrt(s[0])).astype(np.float32) for s in sizes]
    biases = [(random.standard_normal(s[1]) * 0.2).astype(np.float32) for s in sizes]
    constants = {
        "W0": weights[0],
        "B0": biases[0],
        "W1": weights[1].T,
        "B1": biases[1],
        "W2": weights[2],
        "B2": biases[2],
    }
    nodes, given = [], "x"
    if scaled:
        constants |= {"mean": np.full(width, 0.3, np.float32), "std": np.full(width, 1.7, np.float32)}
        nodes = [helper.make_node("Sub", ["x", "mean"], ["c"]), helper.make_node("Div", ["c", "std"], ["z"])]
        given = "z"
    nodes += [
        helper.make_node("MatMul", [given, "W0"], ["m0"]),
        helper.make_node("Add", ["B0", "m0"], ["s0"]),
        helper.make_node(hidden, ["s0"], ["h0"]),
        helper.make_node("Gemm", ["h0", "W1", "B1"], ["s1"], transB=1),
        helper.make_node(hidden, ["s1"], ["h1"]),
        helper.make_node("Gemm", ["h1", "W2", "B2"], ["s2" if end else "y"]),
    ]
    return graph(nodes + ([helper.make_node(end, ["s2"], ["y"])] if end else []), constants, width, outputs)


def trees(of: GradientBoostingClassifier | RandomForestClassifier, width: int) -> bytes:
    """A fitted ensemble of scikit-learn as trees of ONNX: two classes as numbers, whatever their sum."""
    each: dict[str, list[float | int | str]] = {k: [] for k in NODE}
    ids, weights = list[tuple[int, int]](), list[float]()
    members = np.ravel(of.estimators_)
    for tree, member in enumerate(members):
        t = member.tree_
        for node in range(t.node_count):
            leaf, value = t.children_left[node] < 0, t.value[node].ravel()
            row = (tree, node, max(int(t.feature[node]), 0), float(np.float32(t.threshold[node])),
                   "LEAF" if leaf else "BRANCH_LEQ", max(int(t.children_left[node]), 0),
                   max(int(t.children_right[node]), 0))  # fmt: skip
            for kind, cell in zip(NODE, row, strict=True):
                each[kind].append(cell)
            if leaf:
                ids.append((tree, node))
                weights.append(float(value[1] / value.sum() - 0.5 if len(value) > 1 else value[0]) / len(members))
    each |= {"target_treeids": [t for t, _ in ids], "target_nodeids": [n for _, n in ids]}
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
                            target_ids=[0] * len(ids), target_weights=weights, **each)  # fmt: skip
    return graph([node], {}, width)


NODE = ("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes", "nodes_truenodeids",
        "nodes_falsenodeids")  # fmt: skip


def support_vectors(of: SVC, gamma: float, width: int) -> bytes:
    """A fitted machine with a Gaussian kernel: two classes, a number each."""
    attributes = {
        "kernel_type": "RBF", "kernel_params": [gamma, 0.0, 3.0], "coefficients": of.dual_coef_.ravel().tolist(),
        "rho": of.intercept_.tolist(), "support_vectors": of.support_vectors_.ravel().tolist(),
        "vectors_per_class": of.n_support_.tolist(), "classlabels_ints": [0, 1], "post_transform": "NONE",
    }  # fmt: skip
    node = helper.make_node("SVMClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", **attributes)
    return graph([node], {}, width, 2)
