"""Limits on this process, where the system has them; which it has not is told."""

from __future__ import annotations


def limited(memory: int, processor: int) -> tuple[str, ...]:
    """Limit address space (bytes), processor time (seconds) and files (none may be written); what could not be limited.

    Windows has no such limits, macOS none of memory. A limit by the clock is set by whoever started the process.
    """
    try:
        import resource
    except ImportError:
        return ("memory", "processor time", "files")
    missing = []
    kinds = (("memory", "AS", memory), ("processor time", "CPU", processor), ("files", "FSIZE", 0))
    for name, kind, most in kinds:
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, most))
        except (AttributeError, OSError, ValueError):
            missing.append(name)
    return tuple(missing)
