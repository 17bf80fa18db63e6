"""torch's Adam without torch's compiler."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

#: Numbers that the fused kernel takes at a time, at most; those behind the last full vector are rounded otherwise.
VECTOR = 16


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`, the same kernels, in a process that never imports torch's compiler.

    torch marks an optimizer's methods as not to be compiled, and imports the compiler to do so: 2 s in every process.
    Here the same methods are called as they stand under that mark. With ``decoupled_weight_decay`` it is AdamW.
    No closure, no hooks.

    Parameters of sizes that are no multiple of `VECTOR` are updated in one padded buffer, so that the update of a
    number does not depend on its place, that is on how many runs a stack has.
    """

    def __init__(self, params: Any, lr: float = 1e-3, **options: Any) -> None:
        groups = [dict(g) for g in params] if isinstance(next(iter(params)), dict) else [{"params": list(params)}]
        self._odd: list[tuple[Tensor, list[Tensor]]] = []
        for group in groups:
            odd = [p for p in group["params"] if p.numel() % VECTOR]
            if odd:
                size = sum(p.numel() for p in odd)
                buffer = torch.zeros(size + -size % VECTOR, requires_grad=True)
                group["params"] = [*(p for p in group["params"] if not p.numel() % VECTOR), buffer]
                self._odd.append((buffer, odd))
        super().__init__(groups, lr=lr, **options)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Called during construction."""
        inspect.unwrap(torch.optim.Adam.add_param_group)(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        kept = [p for g in self.param_groups for p in g["params"]]
        for parameter in (*kept, *(p for _, odd in self._odd for p in odd)):
            parameter.grad = None

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the gradients."""
        with torch.no_grad():
            for buffer, odd in self._odd:
                buffer.grad = torch.zeros_like(buffer)
                _fill(buffer, odd)
                _fill(buffer.grad, [torch.zeros_like(p) if p.grad is None else p.grad for p in odd])
            _STEP(self, closure)
            for buffer, odd in self._odd:
                sizes = [p.numel() for p in odd]
                for parameter, part in zip(odd, buffer[: sum(sizes)].split(sizes), strict=True):
                    parameter.copy_(part.view_as(parameter))

    step.hooked = True  # type: ignore[attr-defined]  # torch wraps a step that is not in a profiler's record


def _fill(buffer: Tensor, parts: list[Tensor]) -> None:
    flat = torch.cat([p.reshape(-1) for p in parts])
    buffer[: len(flat)] = flat


_STEP = inspect.unwrap(torch.optim.Adam.step)
