"""Torch networks as both of torch's exporters write them: activations, norms, residuals, inputs and outputs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.corpus.people import (
    CATEGORIES,
    FEATURES,
    LEVELS,
    Input,
    Truth,
    hot,
    indexed,
    made,
    named,
    outcome,
    training,
)

EPOCHS = 120
OPSET = 17
WIDTH = len(hot(True))


@dataclass(frozen=True)
class Made:
    """A teacher file, and what has to be said of it."""

    name: str
    family: str
    truth: Truth
    card: str = "split"
    options: tuple[str, ...] = ()  # of `cfq audit`, for the teacher and whatever is made of it
    refuse: str = ""  # why no answer would be right; then only a refusal is
    words: str = ""  # that the refusal must hold


def net(*behind: nn.Module, wide: int = 12, outputs: int = 1, width: int = WIDTH) -> nn.Sequential:
    """Two hidden layers with the same modules behind each."""
    second = [type(m)(8) if isinstance(m, nn.BatchNorm1d) else m for m in behind]
    return nn.Sequential(
        nn.Linear(width, wide), *behind, nn.Linear(wide, 8), *second, nn.Linear(8, outputs)
    )  # fmt: skip


class Residual(nn.Module):
    """Two blocks that add what they are given."""

    def __init__(self, act: nn.Module, norm: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(WIDTH, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.act, self.last = act, nn.Linear(12, 1)
        self.norm: nn.Module = nn.BatchNorm1d(12) if norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.act(self.first(x))
        h = h + self.act(self.norm(self.second(h)))
        return self.last(h + self.act(self.third(h)))


class Inside(nn.Module):
    """A scaler in the graph in front of a net."""

    def __init__(self, inner: nn.Module, raw: np.ndarray) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", torch.tensor(raw.mean(0), dtype=torch.float32))
        self.register_buffer("std", torch.tensor(raw.std(0) + 1e-6, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner((x - self.mean) / self.std)


class Levels(nn.Module):
    """One column a feature: categories through an embedding, or one-hot in the graph."""

    def __init__(self, hot_inside: str = "") -> None:
        super().__init__()
        self.hot_inside = hot_inside
        self.places = [FEATURES.index(f) for f in CATEGORIES]
        self.rest = [i for i in range(len(FEATURES)) if i not in self.places]
        sizes = [len(LEVELS[f]) for f in CATEGORIES]
        self.tables = nn.ModuleList(nn.Embedding(n, 3) for n in sizes)
        self.norm = nn.BatchNorm1d(len(self.rest))
        self.net = net(nn.ReLU(), width=len(self.rest) + (sum(sizes) if hot_inside else 3 * len(sizes)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        words = []
        for place, table in zip(self.places, self.tables, strict=True):
            index = x[:, place].long()
            if self.hot_inside == "equal":
                words.append((x[:, place : place + 1] == torch.arange(table.num_embeddings)).float())
            elif self.hot_inside:
                words.append(nn.functional.one_hot(index, table.num_embeddings).float())
            else:
                words.append(table(index))
        return self.net(torch.cat([self.norm(x[:, self.rest]), *words], dim=1))


class Named(nn.Module):
    """One input a feature, numbers and indices alike."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Levels()

    def forward(
        self, income: torch.Tensor, debt: torch.Tensor, years: torch.Tensor, education: torch.Tensor,
        housing: torch.Tensor, purpose: torch.Tensor, age: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        columns = (income, debt, years, education, housing, purpose, age)
        return self.inner(torch.cat([c.float() for c in columns], dim=1))


class Attention(nn.Module):
    """A token a column, one head, the mean of what it gives."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, size) * 0.5)
        self.bias = nn.Parameter(torch.randn(WIDTH, size) * 0.5)
        self.q, self.k, self.v = (nn.Linear(size, size) for _ in range(3))
        self.norm, self.last = nn.LayerNorm(size), nn.Linear(size, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = x.unsqueeze(-1) * self.weight + self.bias
        a = torch.softmax(self.q(t) @ self.k(t).transpose(1, 2) / self.weight.shape[1] ** 0.5, dim=-1)
        return self.last(self.norm(t + a @ self.v(t)).mean(1))


class Behind(nn.Module):
    """A net and a function of its outputs."""

    def __init__(self, inner: nn.Module, of: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.inner, self.of = inner, of

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.of(self.inner(x))


def trained(module: nn.Module, x: np.ndarray, seed: int, epochs: int = EPOCHS) -> nn.Module:
    """Fitted to the training rows: one logit, or two classes."""
    torch.manual_seed(seed)
    for m in module.modules():
        if hasattr(m, "reset_parameters"):
            m.reset_parameters()
    rows = training()
    given, due = torch.tensor(x[rows], dtype=torch.float32), torch.tensor(outcome()[rows], dtype=torch.float32)
    optimiser = torch.optim.Adam(module.parameters(), 0.02)
    module.train()
    for _ in range(epochs):
        out = module(given)
        z = out[:, 1] - out[:, 0] if out.ndim == 2 and out.shape[1] == 2 else out.reshape(-1)
        loss = nn.functional.binary_cross_entropy_with_logits(z, due)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module.eval()


def write(module: nn.Module, given: Sequence[torch.Tensor], path: Path, names: Sequence[str], dynamo: bool,
          batch: bool = True) -> None:  # fmt: skip
    """As one of torch's exporters writes it."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if dynamo:
            shapes = {"dynamic_shapes": tuple({0: torch.export.Dim("n")} for _ in given)} if batch else {}
            torch.onnx.export(
                module, tuple(given), str(path), dynamo=True, input_names=list(names), output_names=["y"],
                verbose=False, **shapes,
            )  # fmt: skip
            return
        axes = {"dynamic_axes": {n: {0: "n"} for n in (*names, "y")}} if batch else {}
        torch.onnx.export(
            module, tuple(given), str(path), dynamo=False, opset_version=OPSET, input_names=list(names),
            output_names=["y"], **axes,
        )  # fmt: skip


ACTIVATIONS: dict[str, nn.Module] = {
    "relu": nn.ReLU(), "leaky": nn.LeakyReLU(), "leaky02": nn.LeakyReLU(0.2), "elu": nn.ELU(), "gelu": nn.GELU(),
    "gelutanh": nn.GELU("tanh"), "silu": nn.SiLU(), "hardswish": nn.Hardswish(), "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(), "relu6": nn.ReLU6(), "softplus": nn.Softplus(),
}  # fmt: skip


def files(folder: Path) -> Iterator[Made]:
    """Every torch teacher, written to a folder."""
    rows = training()
    scaled, raw = made(hot(True, rows)), made(hot(False))
    plain = Truth((Input("x", hot(True, rows)),))
    given = [torch.tensor(scaled[:2], dtype=torch.float32)]

    def one(
        name: str,
        family: str,
        module: nn.Module,
        x: np.ndarray = scaled,
        truth: Truth = plain,
        seed: int = 0,
        dynamo: bool = False,
        after: Callable[[nn.Module], nn.Module] = lambda m: m,
        **more: Any,
    ) -> Made:
        fitted = after(trained(module, x, seed))
        write(fitted, [torch.tensor(x[:2], dtype=torch.float32)], folder / f"{name}.onnx", ["x"], dynamo)
        return Made(name, family, truth, **more)

    for seed, (name, act) in enumerate(ACTIVATIONS.items()):
        yield one(f"act_{name}", "activations", net(act), seed=seed)
    for name in ("relu", "gelu", "silu", "leaky", "hardswish"):
        yield one(f"dyn_{name}", "torch's newer exporter, weights beside", net(ACTIVATIONS[name]), dynamo=True)
    for dynamo in (False, True):
        tag = "dyn" if dynamo else "old"
        yield one(f"{tag}_bn_before", "batch-norm, dropout", net(nn.BatchNorm1d(12), nn.ReLU()), dynamo=dynamo)
        yield one(f"{tag}_bn_behind", "batch-norm, dropout", net(nn.GELU(), nn.BatchNorm1d(12)), dynamo=dynamo)
        yield one(f"{tag}_residual", "residuals", Residual(nn.ReLU()), dynamo=dynamo)
        yield one(f"{tag}_residual_bn", "residuals", Residual(nn.GELU(), norm=True), dynamo=dynamo)
    yield one("dropout", "batch-norm, dropout", net(nn.ReLU(), nn.Dropout(0.2)))
    yield one("wide", "activations", nn.Sequential(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 1)))
    yield one("logreg", "logistic regression", nn.Sequential(nn.Linear(WIDTH, 1)))
    yield one("whole_relu", "no split, standardised on all", net(nn.ReLU()), made(hot(True)),
              Truth((Input("x", hot(True)),)), card="whole")  # fmt: skip
    yield from _outputs(one, plain)
    yield from _inputs(one, folder, raw)
    module = trained(net(nn.ReLU()), scaled, 5)
    write(module, [given[0][:1]], folder / "batch_of_one.onnx", ["x"], False, batch=False)
    yield Made("batch_of_one", "fixed batch of 1", replace(plain, batch=1))
    write(trained(net(nn.Tanh()), scaled, 6).double(), [given[0].double()], folder / "float64.onnx", ["x"], False)
    yield Made("float64", "float64", Truth((Input("x", hot(True, rows), "float64"),)))
    for name, dynamo in (("old", False), ("dyn", True)):
        yield one(f"{name}_attention", "attention", Attention(), dynamo=dynamo)


def _outputs(one: Callable[..., Made], plain: Truth) -> Iterator[Made]:
    """What a file may give: probabilities, classes, scores, either side."""
    p = replace(plain, cut=0.5)
    yield one("p_sigmoid", "sigmoid", net(nn.ReLU()), truth=p, after=lambda m: Behind(m, torch.sigmoid))
    yield one("p_cut", "another threshold", net(nn.ReLU()), truth=replace(plain, cut=0.7, at_cut=True), seed=1,
              after=lambda m: Behind(m, torch.sigmoid), options=("--threshold", "0.7"))  # fmt: skip
    yield one("p_default", "probability of default", net(nn.ReLU()), truth=replace(p, sign=-1.0), seed=2,
              after=lambda m: Behind(m, lambda z: torch.sigmoid(-z)), options=("--favourable", "low"))  # fmt: skip
    yield one(
        "p_default_cut",
        "probability of default",
        net(nn.GELU()),
        seed=3,
        truth=replace(plain, cut=0.3, sign=-1.0, at_cut=True),
        after=lambda m: Behind(m, lambda z: torch.sigmoid(-z)),
        options=("--favourable", "low", "--threshold", "0.3"),
    )
    yield one(
        "score",
        "score",
        net(nn.ReLU()),
        truth=replace(plain, cut=620.0, at_cut=True),
        seed=4,
        after=lambda m: Behind(m, lambda z: 600 + 40 * z),
        options=("--output", "score", "--threshold", "620"),
    )
    yield one("score_auto", "score", net(nn.SiLU()), truth=replace(plain, cut=580.0, at_cut=True), seed=4,
              after=lambda m: Behind(m, lambda z: 600 + 40 * z), options=("--threshold", "580"))  # fmt: skip
    yield one("squeezed", "squeeze, flatten", net(nn.ReLU()), after=lambda m: Behind(m, lambda z: z.squeeze(-1)))
    yield one("flat", "squeeze, flatten", net(nn.ReLU()), seed=1, after=lambda m: Behind(m, lambda z: z.reshape(-1)))
    two = replace(plain, good=1, bad=0)
    yield one("two_logits", "two logits", net(nn.ReLU(), outputs=2), truth=two)
    yield one("two_logits_dyn", "two logits", net(nn.GELU(), outputs=2), truth=two, dynamo=True)
    of_two = replace(plain, good=1, cut=0.5)
    for name, f in (("softmax", lambda z: torch.softmax(z, 1)), ("softmax_dyn", lambda z: torch.softmax(z, -1))):
        yield one(name, "softmax of two", net(nn.ReLU(), outputs=2), truth=of_two, seed=1,
                  dynamo="dyn" in name, after=lambda m, f=f: Behind(m, f))  # fmt: skip
    yield one("log_softmax", "softmax of two", net(nn.ReLU(), outputs=2), truth=two, seed=2,
              after=lambda m: Behind(m, lambda z: torch.log_softmax(z, 1)))  # fmt: skip
    yield one("two_default", "two logits", net(nn.ReLU(), outputs=2), truth=replace(plain, good=0, bad=1), seed=3,
              after=lambda m: Behind(m, lambda z: z.flip(1)), options=("--favourable", "low"))  # fmt: skip
    yield one("backwards", "to be refused", net(nn.ReLU()), truth=plain, seed=4,
              after=lambda m: Behind(m, lambda z: -z), refuse="ranks backwards", words="--favourable")  # fmt: skip
    yield one(
        "p_backwards",
        "to be refused",
        net(nn.ReLU()),
        truth=p,
        seed=4,
        after=lambda m: Behind(m, lambda z: torch.sigmoid(-z)),
        refuse="ranks backwards",
        words="--favourable",
    )
    yield one(
        "score_uncut",
        "to be refused",
        net(nn.ReLU()),
        truth=plain,
        seed=4,
        after=lambda m: Behind(m, lambda z: 600 + 40 * z),
        refuse="score without a cut",
        words="--threshold",
    )
    yield one(
        "three",
        "to be refused",
        net(nn.ReLU(), outputs=2),
        truth=plain,
        seed=4,
        after=lambda m: Behind(m, lambda z: torch.cat([z, z[:, :1]], 1)),
        refuse="three numbers",
        words="3 numbers",
    )


def _inputs(one: Callable[..., Made], folder: Path, raw: np.ndarray) -> Iterator[Made]:
    """What a file may be given: numbers as they are, levels, named columns."""
    unscaled = Truth((Input("x", hot(False)),))
    for name, dynamo in (("old", False), ("dyn", True)):
        yield one(f"{name}_scaler", "scaler inside", Inside(net(nn.ReLU()), raw), raw, unscaled, dynamo=dynamo)
    yield one("scaler_said", "scaler inside", Inside(net(nn.GELU()), raw), raw, unscaled, options=("--layout", "raw"))
    yield one("raw_log", "raw, cost by its logarithm", Inside(net(nn.ReLU()), raw), raw, unscaled, card="log")
    yield one("layout_wrong", "to be refused", Inside(net(nn.ReLU()), raw), raw, unscaled, seed=1,
              options=("--layout", "standardised"), refuse="layout said wrongly", words="--layout")  # fmt: skip
    levels, x = Truth((Input("x", indexed()),)), made(indexed())
    for name, dynamo in (("old", False), ("dyn", True)):
        yield one(f"{name}_embedding", "embeddings", Levels(), x, levels, dynamo=dynamo)
    for kind in ("equal", "op"):
        yield one(f"hot_{kind}", "one-hot inside", Levels(kind), x, levels)
    for name, dynamo in (("old", False), ("dyn", True)):
        kinds = dict.fromkeys(FEATURES, "int64") | {"debt": "float32"}
        module = Named()
        trained(module.inner, x, 3)
        columns = [torch.tensor(x[:2, [i]], dtype=getattr(torch, k)) for i, k in enumerate(kinds.values())]
        write(module.eval(), columns, folder / f"{name}_named.onnx", list(kinds), dynamo)
        yield Made(f"{name}_named", "named inputs, int64", Truth(named(kinds)))
