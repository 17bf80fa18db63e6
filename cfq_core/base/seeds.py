"""Randomness and threads, fixed at the edge.

One thread per process: two OpenMP threads were slower on small nets and made sums depend on the
schedule. Cores are used by processes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def stream(seed: int, purpose: str) -> int:
    """A 32-bit seed for one purpose, so that no two uses of ``seed`` share their numbers."""
    return zlib.crc32(f"{purpose}/{seed}".encode())


def torch_stream(seed: int, purpose: str) -> torch.Generator:
    """A torch generator of its own for one purpose."""
    return torch.Generator().manual_seed(stream(seed, purpose))


def numpy_stream(seed: int, purpose: str) -> np.random.Generator:
    """A numpy generator of its own for one purpose."""
    return np.random.default_rng(stream(seed, purpose))


@contextmanager
def repeatable(seed: int = 0) -> Iterator[None]:
    """One thread, deterministic kernels and seeded global generators; restored on leaving."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            torch.set_num_threads(threads)
