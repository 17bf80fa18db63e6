"""How our own modules are started as processes: ours whatever lies in the current folder, found wherever we lie."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # site-packages, or the checkout


def module_command(module: str, *arguments: str) -> list[str]:
    """``python -m module arguments`` without the current folder on the path: a ``numpy.py`` there is not imported."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, with which `module_command` finds this package: in a checkout it is named.

    Relative entries of ``PYTHONPATH`` are made absolute: a process may start in another folder.
    """
    given = [str(Path(p).resolve()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    usual = [*site.getsitepackages(), site.getusersitepackages()]
    ours = [] if str(ROOT) in [*given, *usual] else [str(ROOT)]
    path = {"PYTHONPATH": os.pathsep.join([*ours, *given])} if [*ours, *given] else {}
    return {**os.environ, **path, "PYTHONSAFEPATH": "1", **changes}
