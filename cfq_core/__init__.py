"""Measure, fix and prove algorithmic recourse under quantization."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cfq_core.base.numerics import pin_kernels

if TYPE_CHECKING:
    from cfq_core.api.audits import audit_models
    from cfq_core.api.estimator import RecourseAudit
    from cfq_core.api.studies import open_study, study
    from cfq_core.api.tables import draft, read_card
    from cfq_core.base.plugins import load
    from cfq_core.models.objects import own_teacher
    from cfq_core.pipeline import Setting, audit, prepare, promise
    from cfq_core.pipeline import training_recourse as training_recourse
    from cfq_core.study.safe import safe as safe

pin_kernels()  # before torch is loaded, whichever part is imported first

__version__ = "0.1.0"

__all__ = [
    "RecourseAudit", "Setting", "audit", "audit_models", "draft", "load", "open_study", "own_teacher", "prepare",
    "promise", "read_card", "study",
]  # fmt: skip

#: Where each name stands. Those that are not in ``__all__`` are steps of what is.
_PLACES = {
    "RecourseAudit": "api.estimator", "Setting": "pipeline", "audit": "pipeline", "audit_models": "api.audits",
    "draft": "api.tables", "load": "base.plugins", "open_study": "api.studies", "own_teacher": "models.objects",
    "prepare": "pipeline", "promise": "pipeline", "read_card": "api.tables", "safe": "study.safe",
    "training_recourse": "pipeline",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Public names are imported when asked for: listing a store needs no torch."""
    if name == "study":
        return importlib.import_module("cfq_core.study")  # the package, which can be called
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"cfq_core.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    """The public names: what completion shows."""
    return [*__all__, "__version__"]
