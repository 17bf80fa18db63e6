"""Measure, fix and prove algorithmic recourse under quantization."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cfq_core.base.numerics import pin_kernels

if TYPE_CHECKING:
    from cfq_core.base.plugins import load
    from cfq_core.pipeline import Setting, audit, prepare, promise, training_recourse
    from cfq_core.study.safe import safe

pin_kernels()  # before torch is loaded, whichever part is imported first

__version__ = "0.1.0"

__all__ = ["Setting", "audit", "load", "prepare", "promise", "safe", "training_recourse"]

_ELSEWHERE = {"load": "cfq_core.base.plugins", "safe": "cfq_core.study.safe"}  # what is not of the pipeline


def __getattr__(name: str) -> Any:
    """Public names are imported when asked for: listing a store needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "cfq_core.pipeline")), name)
