"""Seeded numbers, one stream for every purpose. Apart from `seeds`, which needs torch: reading results does not."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str) -> int:
    """A 32-bit seed for one purpose, so that no two uses of ``seed`` share their numbers."""
    return zlib.crc32(f"{purpose}/{seed}".encode())


def numpy_stream(seed: int, purpose: str) -> np.random.Generator:
    """A numpy generator of its own for one purpose."""
    return np.random.default_rng(stream(seed, purpose))
