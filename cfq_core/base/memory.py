"""Freed memory stays with the process: the search allocates and frees arrays of megabytes thousands of times a second.

Given back to the system, their pages are faulted in again: 1.5 million times in a search for 1000 Adult people, against
0.17 million where they are kept, with a tenth more memory at the peak.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
from functools import cache

# The parameters of glibc's mallopt (malloc.h).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST = 32 << 20  # bytes, glibc's limit: larger arrays still come from the system and go back to it
KEPT = 1 << 30  # bytes freed at the heap's end that are not given back


@cache
def keep_freed_memory() -> bool:
    """Ask the C library to keep what is freed; False where it is not glibc and goes its own way."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = {M_MMAP_THRESHOLD: LARGEST, M_TRIM_THRESHOLD: KEPT, M_TOP_PAD: 1 << 26}
    return all(mallopt(parameter, value) == 1 for parameter, value in wanted.items())


def collect_seldom() -> None:
    """Look for garbage seldom, and not at all at exit: for a process that imports torch and ends when its work is done.

    Importing torch makes half a million objects that stay. Going through them again and again while it is imported, and
    twice more at exit, took 1.1 of 3.9 seconds.
    """
    gc.set_threshold(100_000, 50, 50)
    atexit.register(gc.freeze)
