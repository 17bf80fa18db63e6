"""What building the wheel adds: ``dashboard/`` under a name of its own, ``cfq_dashboard``.

In the checkout it is a folder of the top level; an installed package of so common a name would be in others' way.
Only its own imports are written anew. An editable install is the checkout, and is left alone.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

IMPORT = re.compile(r"^(\s*(?:from|import)\s+)dashboard(?=[.\s])", re.MULTILINE)


class RenameDashboard(BuildHookInterface):  # type: ignore[type-arg]
    """Packs a copy of ``dashboard/`` as ``cfq_dashboard``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files are collected; ``version`` is ``editable`` where nothing is copied."""
        if version == "editable":
            return
        self._folder = Path(tempfile.mkdtemp())
        copy = self._folder / "cfq_dashboard"
        shutil.copytree(Path(self.root) / "dashboard", copy, ignore=shutil.ignore_patterns("__pycache__"))
        for file in copy.rglob("*.py"):
            file.write_text(IMPORT.sub(r"\1cfq_dashboard", file.read_text(encoding="utf-8")), encoding="utf-8")
        build_data["force_include"][str(copy)] = "cfq_dashboard"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Afterwards: the copy goes."""
        if version != "editable":
            shutil.rmtree(self._folder, ignore_errors=True)
