"""Worker processes, forked from a server that has imported everything once.

This process may have threads, so it is not forked itself.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

IMPORTED = "cfq_core.study.runner"


def start_server() -> None:
    """Let the server import beside this process; without this it starts with the first worker."""
    _context()
    forkserver.ensure_running()


def pool(workers: int) -> ProcessPoolExecutor:
    """An executor with so many processes, one thread each; they end with this process, however it ends."""
    return ProcessPoolExecutor(workers, mp_context=_context(), initializer=_end_with_parent)


def _context() -> BaseContext:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([IMPORTED])
    return context


def _end_with_parent() -> None:
    """A worker of a process that was killed would wait for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
