"""A solver by what a plan writes: its name, and after a colon the one number that a plan may choose of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from cfq_core.base import plugins

MOST_STEPS = 1000  # of a gradient teacher
MOST_SECONDS = 3600  # of a person's proof


def solver_named(text: str) -> Any:
    """The solver; raises `ValueError` with what is allowed."""
    name, colon, number = text.partition(":")
    solver: Any = plugins.load("recourse", name)
    if not colon:
        return solver
    if hasattr(solver, "seconds"):
        return replace(solver, seconds=_seconds(number))
    if not isinstance(getattr(solver, "steps", None), int):
        raise ValueError(
            f'{name} takes no number of steps, only pgd does, as "pgd:5"; exact takes seconds, as "exact:4"'
        )
    if not (number.isascii() and number.isdigit() and len(number) < 6 and 1 <= int(number) <= MOST_STEPS):
        raise ValueError(f'{name} takes 1 to {MOST_STEPS} steps, as "{name}:5"')
    return replace(solver, steps=int(number))


def _seconds(number: str) -> float:
    try:
        seconds = float(number) if number.isascii() else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MOST_SECONDS:
        raise ValueError(f'CPU seconds a person, up to {MOST_SECONDS}, as "exact:4"')
    return seconds
