"""Measure, fix and prove algorithmic recourse under quantization."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cfq_core.base.numerics import pin_kernels

if TYPE_CHECKING:
    from cfq_core.base.plugins import load
    from cfq_core.models.objects import own_teacher
    from cfq_core.pipeline import Setting, audit, prepare, promise, training_recourse
    from cfq_core.study.safe import safe

pin_kernels()  # before torch is loaded, whichever part is imported first

__version__ = "0.1.0"

__all__ = ["Setting", "audit", "load", "own_teacher", "prepare", "promise", "safe", "training_recourse"]

#: What is not of the pipeline.
_ELSEWHERE = {
    "load": "cfq_core.base.plugins", "own_teacher": "cfq_core.models.objects", "safe": "cfq_core.study.safe"
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Public names are imported when asked for: listing a store needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "cfq_core.pipeline")), name)
