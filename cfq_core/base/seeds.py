"""Randomness, threads and memory, fixed at the edge.

One thread per process: two OpenMP threads were slower on small nets and made sums depend on the
schedule. Cores are used by processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cfq_core.base.memory import keep_freed_memory
from cfq_core.base.streams import numpy_stream, stream

__all__ = ["numpy_stream", "repeatable", "stream", "torch_stream"]


def torch_stream(seed: int, purpose: str) -> torch.Generator:
    """A torch generator of its own for one purpose."""
    return torch.Generator().manual_seed(stream(seed, purpose))


@contextmanager
def repeatable(seed: int = 0) -> Iterator[None]:
    """One thread, deterministic kernels and seeded global generators; restored on leaving. Freed memory is kept."""
    threads = torch.get_num_threads()
    deterministic = torch.get_deterministic_debug_mode()
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")  # `use_deterministic_algorithms` imports the compiler: a second
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(deterministic)
            torch.set_num_threads(threads)
