"""What other tools export is read as the very network: equal to onnxruntime on many points, whatever nodes say it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from cfq_core.models.dense import Group, dense
from cfq_core.models.objects import exported
from cfq_core.models.read import ModelFile
from cfq_core.nets.stack import Stack, score

from . import loans

WIDTH = 6
POINTS = np.random.default_rng(3).standard_normal((4000, WIDTH)).astype(np.float32) * 2


class Residual(nn.Module):
    """Two residual blocks, one with batch-norm, and an output without its last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(WIDTH, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.norm, self.last = nn.BatchNorm1d(12), nn.Linear(12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(x))
        h = h + torch.relu(self.norm(self.second(h)))
        return self.last(h + nn.functional.gelu(self.third(h))).squeeze(-1)


def _net(*behind: nn.Module, outputs: int = 1, end: tuple[nn.Module, ...] = ()) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(WIDTH, 12), *behind, nn.Linear(12, 8), *behind[-1:], nn.Linear(8, outputs), *end)


def _trained(module: nn.Module) -> nn.Module:
    """With running statistics of its own."""
    module.train()
    with torch.no_grad():
        for _ in range(5):
            module(torch.randn(64, WIDTH) * 2 + 0.5)
    return module.eval()


FAMILIES: dict[str, tuple[nn.Module, str]] = {
    "relu": (_net(nn.ReLU()), "relu"),
    "batch-norm before": (_net(nn.BatchNorm1d(12), nn.ReLU()), "relu"),
    "batch-norm behind": (nn.Sequential(nn.Linear(WIDTH, 12), nn.ReLU(), nn.BatchNorm1d(12), nn.Linear(12, 1)), "relu"),
    "dropout": (_net(nn.Dropout(0.5), nn.ReLU()), "relu"),
    "leaky": (_net(nn.LeakyReLU()), "leaky_relu"),
    "leaky of another slope": (_net(nn.LeakyReLU(0.2)), "leaky_relu:0.2"),
    "elu": (_net(nn.ELU()), "elu"),
    "elu of another size": (_net(nn.ELU(0.5)), "elu:0.5"),
    "gelu": (_net(nn.GELU()), "gelu"),
    "gelu, tanh": (_net(nn.GELU("tanh")), "gelu_tanh"),
    "silu": (_net(nn.SiLU()), "silu"),
    "hard swish": (_net(nn.Hardswish()), "hard_swish"),
    "relu 6 is none": (_net(nn.ReLU6()), ""),
    "tanh": (_net(nn.Tanh()), "tanh"),
    "sigmoid": (_net(nn.Sigmoid()), "sigmoid"),
    "softplus is none": (_net(nn.Softplus()), ""),
    "sigmoid at the end": (_net(nn.GELU(), end=(nn.Sigmoid(),)), "gelu"),
    "softmax at the end": (_net(nn.ReLU(), outputs=2, end=(nn.Softmax(-1),)), "relu"),
    "log-softmax at the end": (_net(nn.ReLU(), outputs=2, end=(nn.LogSoftmax(-1),)), "relu"),
    "two logits": (_net(nn.SiLU(), outputs=2), "silu"),
    "flat": (_net(nn.ReLU(), end=(nn.Flatten(0),)), "relu"),
    "no hidden layer": (nn.Sequential(nn.Linear(WIDTH, 1)), "none"),
    "residual": (Residual(), "relu"),
}


def _logit(file: ModelFile, points: np.ndarray) -> np.ndarray:
    out = loans.computed(file.content, {"x": points}, file.gives.name).astype(float).reshape(len(points), -1)
    if out.shape[1] == 2:
        inside = (out >= 0).all() and (out <= 1).all()
        return np.log(out[:, 1]) - np.log(out[:, 0]) if inside else out[:, 1] - out[:, 0]
    inside = (out >= 0).all() and (out <= 1).all()
    return (np.log(out) - np.log1p(-out))[:, 0] if inside else out[:, 0]


@pytest.mark.parametrize(("module", "kind"), FAMILIES.values(), ids=FAMILIES)
def test_a_torch_network_is_the_layers_that_onnxruntime_computes(module: nn.Module, kind: str) -> None:
    file = exported(_trained(module))
    found = dense(file)
    if not kind:
        assert found is None
        return
    assert isinstance(found, Stack)
    kinds = {layer.activation.split(":")[0] for layer in found.architecture}
    assert kind.split(":")[0] in kinds
    for name, number in (layer.activation.split(":") for layer in found.architecture if ":" in layer.activation):
        assert kind.startswith(name) and math.isclose(float(number), float(kind.split(":")[1]), rel_tol=1e-6)
    mine, due = score(found, torch.tensor(POINTS).double()[None])[0].numpy(), _logit(file, POINTS)
    near = np.abs(due) < 8
    np.testing.assert_allclose(mine[near], due[near], rtol=1e-3, atol=1e-4)
    assert ((mine > 0) == (due > 0))[np.abs(due) > 1e-4].all()


def test_a_module_that_torch_cannot_export_says_so() -> None:
    from cfq_core.base.errors import BadInput

    with pytest.raises(BadInput, match="holds no Linear layer"):
        exported(nn.ReLU())


def test_an_embedding_of_a_column_is_an_affine_map_of_its_levels() -> None:
    table = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    held = {
        "k": np.array(1, np.int64), "r": np.array([0, 2], np.int64), "T": table,
        "W": np.random.default_rng(1).standard_normal((6, 1)).astype(np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["x", "k"], ["c"], axis=1),
        helper.make_node("Cast", ["c"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["T", "i"], ["e"], axis=0),
        helper.make_node("Gather", ["x", "r"], ["rest"], axis=1),
        helper.make_node("Concat", ["rest", "e"], ["all"], axis=1),
        helper.make_node("Gemm", ["all", "W"], ["y"]),
    ]
    file = loans.file(loans.made(nodes, held, [loans.tensor("x", 3)], [loans.tensor("y", 1)]))
    found = dense(file, (Group(), Group(("a", "b", "c")), Group()))
    assert isinstance(found, Stack) and found.weights[0].shape[2] == 5
    level = np.arange(60) % 3
    numbers = np.random.default_rng(2).standard_normal((60, 2))
    due = loans.computed(file.content, {"x": np.stack([numbers[:, 0], level, numbers[:, 1]], 1).astype(np.float32)})
    hot = np.concatenate([numbers[:, :1], np.eye(3)[level], numbers[:, 1:]], axis=1)
    np.testing.assert_allclose(score(found, torch.tensor(hot)[None])[0].numpy(), due[:, 0], rtol=1e-4, atol=1e-5)
    assert dense(file) is None, "a number is no index"


def test_scikit_learns_network_as_it_is_exported() -> None:
    """Cast, MatMul, Add, ReLU, ..., Sigmoid, 1 - p beside p; the label is computed beside it."""
    random = np.random.default_rng(4)
    held = {
        "W": random.standard_normal((6, 5)).astype(np.float32), "B": random.standard_normal(5).astype(np.float32),
        "V": random.standard_normal((5, 1)).astype(np.float32), "C": np.float32([0.2]), "one": np.float32(1),
        "classes": np.array([b"defaulted", b"repaid"], object),
    }  # fmt: skip
    nodes = [
        helper.make_node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[1.0] * 6, scale=[0.5] * 6),
        helper.make_node("Cast", ["s"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["c", "W"], ["m"]),
        helper.make_node("Add", ["m", "B"], ["a"]),
        helper.make_node("Relu", ["a"], ["h"]),
        helper.make_node("MatMul", ["h", "V"], ["n"]),
        helper.make_node("Add", ["n", "C"], ["z"]),
        helper.make_node("Sigmoid", ["z"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["k"], axis=1),
        helper.make_node("ArrayFeatureExtractor", ["classes", "k"], ["word"], domain="ai.onnx.ml"),
        helper.make_node("Reshape", ["word", "flat"], ["label"]),
    ]
    held["flat"] = np.array([-1], np.int64)
    ends = [loans.tensor("label", None, TensorProto.STRING), loans.tensor("probabilities", 2)]
    file = loans.file(loans.made(nodes, held, [loans.tensor("x", 6)], ends))
    assert file.gives.labels == ("defaulted", "repaid")
    found = dense(file)
    assert isinstance(found, Stack)
    due = _logit(file, POINTS)
    near = np.abs(due) < 8
    mine = score(found, torch.tensor(POINTS).double()[None])[0].numpy()
    np.testing.assert_allclose(mine[near], due[near], rtol=1e-3, atol=1e-4)
