"""Revisions of the engine, part of what identifies a run. Without torch: a page asks what is stored already."""

from __future__ import annotations

#: Raised when the same spec would give other numbers: runs of an older engine are then run anew.
REVISION = 5
LARGE_REVISION = 2  # of how tables are worked that are wide or long; raised where only their numbers change
