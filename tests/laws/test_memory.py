"""Freed memory is kept by the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cfq_core.base.memory import keep_freed_memory

#: In a process of its own: what a heap gives back depends on what else lives in it.
PROGRAM = """
import resource, torch
from cfq_core.base.memory import keep_freed_memory
keep_freed_memory()
size = 24 << 20
torch.ones(size, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(size, dtype=torch.uint8)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / size)
"""


def test_arrays_of_megabytes_come_back_without_page_faults() -> None:
    if not sys.platform.startswith("linux") or not keep_freed_memory():
        pytest.skip("the C library is not glibc, so nothing can be asked of it")
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(said.stdout) < 1  # given back to the system, each of the five would cost all its pages
