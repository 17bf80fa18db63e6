"""Studies: what to run, running it resumably, keeping it, and summing it up.

The package can be called: ``cfq_core.study(data, card, ...)`` is `cfq_core.api.studies.study`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """This package, which is a function too: both are called ``study``, and an import would hide the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run a study from Python; see `cfq_core.api.studies.study`."""
        return _function()(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(_function())


def _function() -> Any:
    return importlib.import_module("cfq_core.api.studies").study


sys.modules[__name__].__class__ = _Callable
