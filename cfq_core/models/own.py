"""Somebody's own model as the teacher of a study: one network, seen through the encoding of every seed.

What reads as a list of layers is quantized by every method. Anything else is audited and searched (`cfq audit`), and
refused here with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from cfq_core.models.columns import Columns
from cfq_core.models.contract import Contract
from cfq_core.models.dense import dense
from cfq_core.models.imported import SATURATED, TOLERANCE, seen_through
from cfq_core.models.provenance import BadModel
from cfq_core.models.read import ModelFile
from cfq_core.models.reading import Reading, running_of, settle
from cfq_core.nets.layers import Activation
from cfq_core.nets.stack import Stack, score
from cfq_core.tables.encode import Encoding
from cfq_core.tables.fitted import fitted_whole
from cfq_core.tables.schema import Table

SECONDS = 300.0  # that a file may be computed for
NEAR = 1e-4  # logits: float32 rounding; nearer to the cut the network and the file may decide otherwise


@dataclass(frozen=True)
class OwnSpec:
    """What identifies an own teacher: the file's bytes and how it was read."""

    KEY = "own_teacher"
    sha256: str
    contract: Contract  # as it was resolved: nothing is auto


@dataclass(frozen=True)
class OwnTeacher:
    """A network (R = 1, float64) of columns that are made of people; its output is the logit of the good decision."""

    name: str
    spec: OwnSpec
    network: Stack
    columns: Columns
    notes: tuple[str, ...] = field(default=())

    def through(self, encoding: Encoding) -> Stack:
        """The same network of people as ``encoding`` has them, float32."""
        seen = self.columns.of(encoding)
        assert seen is not None, "checked when it was read"
        return seen_through(self.network, *seen).to(torch.float32)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of its hidden layers."""
        return tuple(w.shape[1] for w in self.network.weights[:-1])

    @property
    def residual(self) -> bool:
        """Whether a layer adds an earlier one's output."""
        return any(layer.skip is not None for layer in self.network.architecture)

    @property
    def activation(self) -> Activation:
        """Of its hidden layers, where it is one; a list of layers says more."""
        kinds = {layer.activation for layer in self.network.architecture[:-1]}
        return kinds.pop() if len(kinds) == 1 else "relu"


def file_teacher(file: ModelFile, contract: Contract, table: Table) -> OwnTeacher:
    """A file as a teacher that can be quantized; raises `BadModel` with why it cannot."""
    if not file.says_itself:
        contract = contract.over(Contract.read(table.model, "card, [model]"))
    table, rows = fitted_whole(table), np.arange(len(table))
    with running_of(file, table, SECONDS) as running:
        reading, notes = settle(running, contract, table, rows, True)
        found = _network(reading, table)
        for line in _checked(found, reading, table, rows):
            notes.append(line)
    return replace(found, notes=tuple(notes))


def _network(reading: Reading, table: Table) -> OwnTeacher:
    file, raw = reading.file, dense(reading.file, reading.columns.groups)
    instead = "it can be teacher or student of: cfq audit"
    if not isinstance(raw, Stack):
        kinds = ", ".join(sorted({n.op_type for n in file.proto.graph.node})[:8])
        raise BadModel(f"{file.name}: is no list of layers ({kinds}), so it cannot be quantized here; {instead}")
    if reading.columns.of(Encoding.fit(table.schema, table.values)) is None:
        logs = ", ".join(f.name for f in table.schema.features if f.log)
        raise BadModel(
            f"{file.name}: takes {logs} as they are, but the card models them as log(1 + x), and no layer does so; "
            f"remove log = true from the card to quantize it; as it is {instead}"
        )
    scale, columns = reading.scale, reading.columns
    said = Contract(
        "low" if scale.sign < 0 or (scale.classes > 1 and scale.column == 0) else "high",
        scale.cut if scale.kind != "logit" or scale.cut else None,
        scale.kind,  # type: ignore[arg-type]
        "auto" if columns.layout == "own" else columns.layout,  # type: ignore[arg-type]
    )
    return OwnTeacher(file.name, OwnSpec(file.sha256, said), scale.network(raw), columns.apart)


def _checked(own: OwnTeacher, reading: Reading, table: Table, rows: np.ndarray) -> list[str]:
    """Whether the network decides everybody as onnxruntime does; raises `BadModel` where it does not."""
    encoding, values = Encoding.fit(table.schema, table.values), table.values[rows]
    logits = reading.logits(values)
    inputs = torch.tensor(encoding.encode(values))[None]
    found = score(own.through(encoding).to(torch.float64), inputs)[0].numpy()
    near = np.abs(logits) < SATURATED
    off = float((np.abs(found - logits) / (1 + np.abs(logits)))[near].max(initial=0.0))
    differing = (found > 0) != (logits > 0)
    wrong = differing & (np.abs(logits) > NEAR * (1 + np.abs(logits).mean()))
    if wrong.any() or off > 10 * TOLERANCE:
        raise BadModel(
            f"{own.name}: a network was read from it, but onnxruntime decides {int(wrong.sum())} of {len(values)} "
            f"people otherwise (logits by up to {off:.2g}); it cannot be quantized here, only audited: cfq audit"
        )
    note = f"{own.name}: its layers decide all but {int(differing.sum())} of {len(values)} people as onnxruntime does"
    return [note]
