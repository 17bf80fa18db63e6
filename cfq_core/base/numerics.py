"""Which kernels compute: chosen before torch is loaded, and told apart by what they compute.

The same sum differs in its last bit between AVX2 and AVX-512 kernels, and a student of few bits turns that into another
decision (Adult at 3 bits: validity drop 0.169 or 0.543 for one specification). On x86-64 every process of this package
therefore computes with the AVX2 kernels, which any server of the last ten years has; `pin_kernels` runs when
`cfq_core` is imported, before torch. What was loaded by somebody else earlier stays as it is, and is told by `warning`.

`tag` names what decides bits. It is part of the identity of every teacher and run, so two machines never give
one identity two answers: beside architecture, kernel set and torch's version it holds a hash of what a few products,
exponentials and an optimizer step give here, because libraries below torch choose by the processor's maker too.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from functools import cache
from pathlib import Path

#: What the three libraries that choose kernels by themselves read: torch's own, MKL and oneDNN.
PINNED = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


@cache
def has_avx2() -> bool:
    """Whether this is an x86-64 processor with AVX2; where the system does not say, it is taken to have it."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return " avx2" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True


def pin_kernels() -> None:
    """Choose the AVX2 kernels for this process and those it starts; too late where torch is loaded already."""
    if has_avx2():
        os.environ.update(PINNED)


@cache
def tag() -> str:
    """What decides the bits of a sum in this process, e.g. ``x86_64-avx2-torch2.13-5e1f0c``."""
    import torch

    version = ".".join(torch.__version__.split(".")[:2])
    return f"{platform.machine().lower()}-{_kernels()}-torch{version}-{_fingerprint()}"


def warning() -> str | None:
    """One line where this process computes with other kernels than every process should; else None."""
    if has_avx2() and "torch" in sys.modules and _kernels() != "avx2":
        return (
            f"torch was loaded before cfq_core and computes with {_kernels()} kernels: runs are stored as such "
            "and are not those of other machines; import cfq_core first, or set ATEN_CPU_CAPABILITY=avx2"
        )
    return None


def _kernels() -> str:
    import torch

    return torch.backends.cpu.get_cpu_capability().lower().replace("default", "baseline")


def _fingerprint() -> str:
    """Hash of a few results that differ where kernels do; a few milliseconds, nothing random."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        digest = hashlib.sha256()
        for dtype in (torch.float32, torch.float64):
            for runs, rows, given, out in ((8, 256, 57, 64), (8, 128, 32, 1), (1, 128, 57, 64), (1, 128, 32, 1)):
                a, b = _numbers(runs * rows * given, dtype), _numbers(runs * given * out, dtype)
                product = torch.bmm(a.view(runs, rows, given), b.view(runs, given, out))
                for made in (product, product.sum(1), torch.exp(product), torch.log1p(product.abs()), product.tanh()):
                    digest.update(made.contiguous().numpy().tobytes())
    finally:
        torch.set_num_threads(threads)
    return digest.hexdigest()[:6]


def _numbers(count: int, dtype):  # type: ignore[no-untyped-def]  # torch is not imported yet
    """Numbers between -1/2 and 1/2 that need all their digits, without a generator."""
    import torch

    return ((torch.arange(count, dtype=torch.int64) * 7919) % 1009).to(dtype) / 1009 - 0.5
