"""An own model as Python has it: the path of an ONNX file, a torch module, a fitted scikit-learn model."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import torch

from cfq_core.base.door import Needs, door
from cfq_core.base.errors import BadInput
from cfq_core.models.columns import Layout
from cfq_core.models.contract import Contract, Output
from cfq_core.models.own import OwnTeacher, file_teacher
from cfq_core.models.read import ModelFile, parse_model, read_model
from cfq_core.tables.schema import Table

OPSET = 17


def teacher_from(model: Any, table: Table, contract: Contract | None = None) -> OwnTeacher:
    """A model of any of these kinds as the teacher of a study on a table; raises `BadInput` in one line."""
    contract = contract or Contract()
    if isinstance(model, OwnTeacher):
        return model
    if isinstance(model, str | Path):
        return file_teacher(read_model(Path(model)), contract, table)
    if isinstance(model, torch.nn.Module):
        return file_teacher(exported(model), contract, table)
    if hasattr(model, "get_params") and hasattr(model, "predict"):
        from cfq_core.models.sklearn_layers import sklearn_teacher

        return sklearn_teacher(model, contract, table)
    raise BadInput(
        f"teacher is a {type(model).__name__}; the path of an ONNX file, a torch.nn.Module or a fitted scikit-learn "
        "model is needed"
    )


@door(table=Needs("Table"))
def own_teacher(
    model: Any,
    table: Table,
    favourable: str = "",
    threshold: float | None = None,
    output: Output = "auto",
    layout: Layout = "auto",
) -> OwnTeacher:
    """A model of your own for `promise(..., teacher=...)`, and how it is read: see `models.contract`.

    ``model``: the path of an ONNX file, a torch module, or a fitted scikit-learn model.
    """
    return teacher_from(model, table, Contract(favourable, threshold, output, layout))


def exported(module: torch.nn.Module) -> ModelFile:
    """A torch module as the file that torch's own exporter makes of it, at inference."""
    name = type(module).__name__
    first = next((m for m in module.modules() if isinstance(m, torch.nn.Linear)), None)
    if first is None:
        raise BadInput(f"{name}: holds no Linear layer, so its width is not known; export it to ONNX and give the file")
    was, written = module.training, io.BytesIO()
    target: Any = written  # which its types do not know
    parameter = next(module.parameters())
    given = torch.zeros(2, first.in_features, dtype=parameter.dtype, device=parameter.device)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # this exporter is the one that needs no further package
            torch.onnx.export(
                module.eval(), (given,), target, dynamo=False, opset_version=OPSET, input_names=["x"],
                output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
            )  # fmt: skip
    except Exception as problem:  # whatever torch says of a module that it cannot export
        raise BadInput(f"{name}: torch cannot export it ({' '.join(str(problem).split())[:200]})") from None
    finally:
        module.train(was)
    return parse_model(written.getvalue(), name)
