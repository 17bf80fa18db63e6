"""Our own files, recognised by writing them again: what comes out must be the very graph that was read."""

from __future__ import annotations

import numpy as np
import torch
from onnx import TensorProto, numpy_helper
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError

from cfq_core.models.read import Array, ModelFile
from cfq_core.models.write import FORMS, UNSIGNED, student_model, teacher_model, written_for
from cfq_core.nets.layers import LOGIT, Architecture, Codes, read
from cfq_core.nets.stack import Scorer, Stack
from cfq_core.quant.grid import WEIGHT_BITS
from cfq_core.quant.quantized import QuantStack

MOST_LAYERS = 64


def own_file(file: ModelFile) -> Scorer | None:
    """The model of a file that `write.py` wrote; None of any other."""
    try:
        return _written_here(file)
    except (ValidationError, InferenceError, ValueError, TypeError, KeyError, IndexError):
        return None  # the last four are numpy's and torch's own ways to say that shapes do not fit


def _written_here(file: ModelFile) -> Scorer | None:
    """The numbers of a file that `write.py` wrote."""
    provenance = file.provenance
    if provenance is None or max(len(provenance.bits), len(provenance.layers)) > MOST_LAYERS:
        return None
    layers = read(provenance.layers)
    held = {c.name: numpy_helper.to_array(c).astype(np.float64) for c in file.proto.graph.initializer}
    for c in file.proto.graph.initializer:
        if c.name.startswith("W") and c.data_type == TensorProto.UINT8:
            held[c.name] -= UNSIGNED

    def listed(kind: str) -> tuple[torch.Tensor, ...]:
        count = next(i for i in range(len(held) + 1) if f"{kind}{i}" not in held)
        return tuple(torch.from_numpy(np.array(held[f"{kind}{i}"])[None]) for i in range(count))

    weights, biases, target = listed("W"), listed("B"), written_for(file.proto)
    for form in FORMS:
        if provenance.role == "teacher" and weights:
            teacher = Stack(weights, biases, layers)
            if teacher_model(teacher, provenance, form, target).graph == file.proto.graph:
                return teacher
        elif weights and len(weights) == len(provenance.bits) and set(provenance.bits) <= set(WEIGHT_BITS):
            inputs, steps = _steps(held, layers or (LOGIT,) * len(weights), listed("scale"), form == "exact")
            codes = _codes(held, layers, provenance.activation_bits)
            student = QuantStack(weights, biases, steps, inputs, layers, codes)
            if student_model(student, provenance, form, target).graph == file.proto.graph:
                return student
    return None


def _codes(held: dict[str, Array], layers: Architecture, bits: int) -> Codes:
    """Steps and tables of the hidden activations."""
    if not any(each.curved or each.skip is not None for each in layers):
        return Codes(bits)
    one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, 0, dtype=torch.float64)

    def each(name: str, absent: torch.Tensor) -> tuple[torch.Tensor, ...]:
        names = [f"{name}{i}" for i in range(len(layers) - 1)]
        return tuple(torch.from_numpy(np.array(held[n])[None]) if n in held else absent for n in names)

    def branch(layer: int) -> torch.Tensor:
        names = [f"{kind}{layer}" for kind in ("step_a", "step_entry", "step_branch")]
        step = next((held[n] for n in names if n in held and layers[layer].skip is not None), np.ones(()))
        return torch.from_numpy(np.array(step)[None])

    return Codes(bits, each("step_total", one), tuple(map(branch, range(len(layers) - 1))), each("table", none))


def _steps(
    held: dict[str, Array], layers: Architecture, scales: tuple[torch.Tensor, ...], exact: bool
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Steps of each layer's input and of its weights; the exact form holds their product.

    Behind a table no step of its output is needed, and only a sum says it: the product then stands for both.
    """
    inputs, weights = [], []
    for layer, scale in enumerate(scales):
        names = [f"step{layer}", *(f"step_b{i}" for i, each in enumerate(layers) if each.skip == layer - 1)]
        step = next((torch.from_numpy(np.array(held[n])[None]) for n in names if n in held), None)
        inputs.append(torch.ones(1, dtype=torch.float64) if step is None else step)
        # float32 values: dividing their product with an input step only comes near them
        weights.append(scale if step is None or not exact else (scale / step).float().double())
    return tuple(inputs), tuple(weights)
