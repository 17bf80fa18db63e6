"""torch's Adam without torch's compiler."""

from __future__ import annotations

import inspect
from typing import Any

import torch


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`, the same kernels and the same bits, in a process that never imports torch's compiler.

    torch marks an optimizer's methods as not to be compiled, and imports the compiler to do so: 2 s in every process.
    Here the same methods are called as they stand under that mark. With ``decoupled_weight_decay`` it is AdamW.
    No closure, no hooks.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Called while it is made."""
        inspect.unwrap(torch.optim.Adam.add_param_group)(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the gradients."""
        with torch.no_grad():
            _STEP(self, closure)

    step.hooked = True  # type: ignore[attr-defined]  # torch wraps a step that is not in a profiler's record


_STEP = inspect.unwrap(torch.optim.Adam.step)
