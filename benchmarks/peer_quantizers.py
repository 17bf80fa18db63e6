"""Quantizers of other people on our teachers: the same net as torch modules, each library as its own manual has it.

Weights per channel where a library offers it, activations in 8 bits where it quantizes them. Calibration sees training
rows, quantization-aware training their outcomes too, as ours do. Every net is judged through its own forward pass.
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.peer_question import quietly
from cfq_core import pipeline
from cfq_core.base import plugins
from cfq_core.base.seeds import repeatable
from cfq_core.evidence import approved
from cfq_core.matching import match
from cfq_core.nets.stack import Stack, score
from cfq_core.recourse.find import logits64

ROWS = 2048  # training rows that calibration sees
BATCH, STEPS, RATE = 256, 1000, 1e-3  # of Brevitas's training: our students' least batch and steps
LOST = 0.001  # of accuracy, at most, in NNCF's accuracy-aware quantization

Logits = Callable[[np.ndarray], np.ndarray]  # of model inputs [n, d], float64


@dataclass(frozen=True)
class Rows:
    """What a quantizer may see: training rows of one teacher."""

    inputs: torch.Tensor  # [n, d] float32
    outcome: torch.Tensor  # [n]

    @property
    def few(self) -> torch.Tensor:
        """For calibration."""
        return self.inputs[:ROWS]


Quantizer = Callable[[nn.Sequential, Rows, int], nn.Module]  # teacher, rows, bits


def as_torch(stack: Stack) -> nn.Sequential:
    """One teacher as torch layers."""
    layers: list[nn.Module] = []
    for i, (weight, bias) in enumerate(zip(stack.weights, stack.biases, strict=True)):
        linear = nn.Linear(weight.shape[2], weight.shape[1])
        linear.load_state_dict({"weight": weight[0].clone(), "bias": bias[0].clone()})
        layers += [linear] if i + 1 == len(stack.weights) else [linear, nn.ReLU()]
    return nn.Sequential(*layers).eval()


# ---------------------------------------------------------------------- Brevitas


def _brevitas_net(teacher: nn.Sequential, bits: int) -> nn.Sequential:
    import brevitas.nn as qnn
    from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Int32Bias, Uint8ActPerTensorFloat

    linears = [m for m in teacher if isinstance(m, nn.Linear)]
    layers: list[nn.Module] = [qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, return_quant_tensor=True)]
    for i, own in enumerate(linears):
        made = qnn.QuantLinear(
            own.in_features, own.out_features, bias=True, bias_quant=Int32Bias,
            weight_quant=Int8WeightPerChannelFloat, weight_bit_width=bits,
        )  # fmt: skip
        made.weight.data.copy_(own.weight.data)
        made.bias.data.copy_(own.bias.data)
        layers.append(made)
        if i + 1 < len(linears):
            layers.append(qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=True))
    return nn.Sequential(*layers)


def brevitas_ptq(teacher: nn.Sequential, rows: Rows, bits: int) -> nn.Module:
    """Calibrated activations, then corrected biases."""
    from brevitas.graph.calibrate import bias_correction_mode, calibration_mode

    net = _brevitas_net(teacher, bits).eval()
    with torch.no_grad(), calibration_mode(net):
        net(rows.few)
    with torch.no_grad(), bias_correction_mode(net):
        net(rows.few)
    return net.eval()


def brevitas_qat(teacher: nn.Sequential, rows: Rows, bits: int) -> nn.Module:
    """From the teacher's weights, on observed outcomes."""
    net = brevitas_ptq(teacher, rows, bits).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    order = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        batch = torch.randint(len(rows.inputs), (BATCH,), generator=order)
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(_value(net(rows.inputs[batch])), rows.outcome[batch])
        loss.backward()
        optimizer.step()
    return net.eval()


def _value(out: Any) -> torch.Tensor:
    return (out.value if hasattr(out, "value") else out)[:, 0]


# ---------------------------------------------------------------------- torchao


def torchao_weights(teacher: nn.Sequential, rows: Rows, bits: int) -> nn.Module:
    """``quantize_``: weights per output channel, activations stay real."""
    from torchao.quantization import IntxWeightOnlyConfig, PerAxis, quantize_

    quantize_(teacher, IntxWeightOnlyConfig(weight_dtype=getattr(torch, f"int{bits}"), granularity=PerAxis(0)))
    return teacher


def torchao_pt2e(teacher: nn.Sequential, rows: Rows, bits: int) -> nn.Module:
    """PT2E with the quantizer for x86: 8 bits is all it does."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    dynamic = ({0: torch.export.Dim("rows")},)
    net = prepare_pt2e(torch.export.export(teacher, (rows.few,), dynamic_shapes=dynamic).module(), quantizer)
    net(rows.few)
    return convert_pt2e(net)


# ---------------------------------------------------------------------- NNCF


class Whole(nn.Module):
    """The same net as one module: NNCF hangs its hooks on a model as a child, which `Sequential` would run."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, [n, 1]."""
        return self.net(x)


def nncf_weights(teacher: nn.Sequential, rows: Rows, bits: int) -> nn.Module:
    """``nncf.compress_weights``, 4 bits symmetric in every layer, one group a channel; activations stay real."""
    import nncf

    mode, few = nncf.CompressWeightsMode.INT4_SYM, nncf.Dataset([rows.few[:1]])
    return nncf.compress_weights(Whole(teacher), mode=mode, group_size=-1, all_layers=True, dataset=few)


def nncf_quantize(teacher: nn.Sequential, rows: Rows, bits: int) -> nn.Module:
    """``nncf.quantize`` of the ONNX model: 8 bits is all it does."""
    import nncf

    return InRuntime(nncf.quantize(_onnx(teacher, rows), _batches(rows), subset_size=ROWS // BATCH))


def nncf_accuracy(teacher: nn.Sequential, rows: Rows, bits: int) -> nn.Module:
    """``nncf.quantize_with_accuracy_control`` of the ONNX model: `LOST` of accuracy on calibration rows, at most."""
    import nncf

    pairs = zip(rows.few.split(BATCH), rows.outcome[:ROWS].split(BATCH), strict=True)
    held = nncf.Dataset([(x.numpy(), y.numpy()) for x, y in pairs], lambda pair: {"x": pair[0]})

    def accuracy(model: Any, data: Any) -> tuple[float, None]:
        net = InRuntime(model)
        return float(np.mean([((net(torch.tensor(x))[:, 0].numpy() > 0) == y).mean() for x, y in data])), None

    made = nncf.quantize_with_accuracy_control(
        _onnx(teacher, rows), _batches(rows), held, accuracy, max_drop=LOST, subset_size=ROWS // BATCH
    )
    return InRuntime(made)


def _onnx(teacher: nn.Sequential, rows: Rows) -> Any:
    import onnx

    file = io.BytesIO()
    torch.onnx.export(Whole(teacher), (rows.few,), file, input_names=["x"], dynamic_axes={"x": {0: "n"}}, dynamo=False)
    return onnx.load_from_string(file.getvalue())


def _batches(rows: Rows) -> Any:
    import nncf

    return nncf.Dataset([{"x": x.numpy()} for x in rows.few.split(BATCH)])


class InRuntime(nn.Module):
    """An ONNX model, run by onnxruntime."""

    def __init__(self, model: Any) -> None:
        import onnxruntime

        super().__init__()
        given = model if isinstance(model, bytes) else model.SerializeToString()
        self.session = onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, [n, 1]."""
        (out,) = self.session.run(None, {"x": x.numpy()})
        return torch.tensor(out)


#: Name in the table, the package it needs, what is quantized, and its bits.
QUANTIZERS: dict[str, tuple[str, Quantizer, tuple[int, ...]]] = {
    "Brevitas PTQ": ("brevitas", brevitas_ptq, (8, 4, 3)),
    "Brevitas QAT": ("brevitas", brevitas_qat, (4, 3)),
    "torchao quantize_, weights only": ("torchao", torchao_weights, (8, 4, 3)),
    "torchao PT2E": ("torchao", torchao_pt2e, (8,)),
    "NNCF quantize": ("nncf", nncf_quantize, (8,)),
    "NNCF quantize_with_accuracy_control": ("nncf", nncf_accuracy, (8,)),
    "NNCF compress_weights, weights only": ("nncf", nncf_weights, (4,)),
}
#: Ours beside them, from the store; rounding to 8 bits is made here.
OURS = tuple(itertools.product(("ptq", "cf_ptq", "cfq_anchored"), (4, 3)))


def of_library(name: str, bits: int, p: pipeline.TeacherRecourse) -> dict[str, Any]:
    """One library's student of one teacher, judged; raises whatever the library raises."""
    package, quantize, _ = QUANTIZERS[name]
    train = p.design.split.train
    rows = Rows(torch.tensor(p.design.inputs(train), dtype=torch.float32),
                torch.tensor(p.design.table.outcome[train], dtype=torch.float32))  # fmt: skip
    with repeatable(), quietly():
        started = time.process_time()
        net = quantize(as_torch(p.teacher), rows, bits)
        seconds = time.process_time() - started

        def logits(inputs: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return _value(net(torch.tensor(inputs, dtype=torch.float32))).double().numpy()

        return {"version": version(package), "seconds": round(seconds, 3)} | measured(p, logits)


def of_ours(bits: int, p: pipeline.TeacherRecourse) -> dict[str, Any]:
    """Rounding to a number of bits that the store has no students of."""
    with repeatable():
        started = time.process_time()
        made = plugins.load("methods", "ptq").students(pipeline.training_data_of([p]), [float(bits)])
        seconds = time.process_time() - started
    return {"version": "", "seconds": round(seconds, 3)} | stored(p, made.models)


def stored(p: pipeline.TeacherRecourse, model: Any) -> dict[str, Any]:
    """One of our students, judged as the others are."""
    weights = model.to(torch.float64)

    def logits(inputs: np.ndarray) -> np.ndarray:
        return score(weights, torch.tensor(inputs)[None])[0].numpy()

    return measured(p, logits)


def measured(p: pipeline.TeacherRecourse, logits: Logits) -> dict[str, Any]:
    """Accuracy and approval shift on test rows, promises broken; at the matched threshold too."""
    d = p.design
    encode, values = d.encoding.encode, d.table.values
    q, valid = logits(encode(values[d.split.test])), logits(encode(values[d.split.valid]))
    wanted = int(approved(logits64(p.teacher, 0, d.encoding, values[d.split.valid])).sum())
    cut = float(match(valid[None], wanted).threshold[0])
    at = logits(encode(p.recourse.after[p.recourse.has_recourse]))
    granted, outcome = (p.logits > 0).mean(), d.table.outcome[d.split.test]
    return {
        "people": len(at), "accuracy": float(((q > 0) == outcome).mean()),
        "shift": float((q > 0).mean() - granted), "shift_matched": float((q > cut).mean() - granted),
        "vd": float((at <= 0).mean()), "vd_matched": float((at <= cut).mean()),
    }  # fmt: skip
