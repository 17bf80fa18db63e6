"""Freed memory stays with the process: page faults of large arrays, counted by the kernel in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cfq_core.base.memory import keep_freed_memory

COUNTED = """
import resource, sys
import torch
from cfq_core.base.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for turn in range(30):  # the first ten settle where such arrays lie
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(4 << 20) for _ in range(10)]  # 16 MiB each
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Page faults of twenty turns in which ten arrays of 16 MiB are made and freed."""
    done = subprocess.run([sys.executable, "-c", COUNTED, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_pages_of_freed_arrays_are_not_given_back() -> None:
    pages = 20 * 10 * (16 << 20) // 4096
    assert faults("kept") < pages / 100  # without it 0 or four in five, as a small array pins the heap's end or not
