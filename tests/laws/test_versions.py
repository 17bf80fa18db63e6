"""Which versions are allowed, which are locked, and which are tested as the lowest: three lists that say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ALLOWED = [*PROJECT["dependencies"], *EXTRAS["export"], *EXTRAS["cluster"]]


def pins(name: str) -> dict[str, tuple[int, ...]]:
    """Name -> version of a file of pins."""
    lines = (ROOT / "docs" / name).read_text(encoding="utf-8").splitlines()
    found = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {key(n): number(v) for n, v in found}


def key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def number(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.split("+")[0])[:3])


@pytest.mark.parametrize("dependency", ALLOWED)
def test_the_lowest_version_is_the_one_that_is_tested_and_the_lock_is_allowed(dependency: str) -> None:
    name, how, bound = re.match(r"([\w.-]+)(>=|==)([\d.]+)", dependency).groups()  # type: ignore[union-attr]
    lowest, locked = pins("lowest.txt")[key(name)], pins("constraints.txt")[key(name)]
    assert lowest[: len(number(bound))] == number(bound) and not any(lowest[len(number(bound)) :])
    assert locked >= number(bound) and (how == ">=" or locked[: len(number(bound))] == number(bound))
