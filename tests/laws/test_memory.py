"""Freed memory is kept by the process."""

from __future__ import annotations

import resource
import sys

import pytest
import torch

from cfq_core.base.memory import keep_freed_memory


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def test_arrays_of_megabytes_come_back_without_page_faults() -> None:
    if not sys.platform.startswith("linux") or not keep_freed_memory():
        pytest.skip("the C library is not glibc, so nothing can be asked of it")
    size, pages = 24 << 20, (24 << 20) // resource.getpagesize()
    torch.ones(size, dtype=torch.uint8)
    before = _faults()
    for _ in range(5):
        torch.ones(size, dtype=torch.uint8)
    assert _faults() - before < pages  # given back to the system, each would cost all of them
