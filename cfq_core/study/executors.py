"""Where tasks run: in this process, in worker processes, or on a Dask cluster (extra: ``pip install cfq[cluster]``).

Workers are forked from a server that has imported everything once. This process may have threads, so it is not forked
itself.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import BaseContext, ForkServerContext, ForkServerProcess
from types import ModuleType
from typing import Any

from cfq_core.base import numerics
from cfq_core.base.errors import BadPlan, CfqError

IMPORTED = "cfq_core.study.runner"
CONNECT_TIMEOUT = 10  # seconds
#: Times a task may be run again on a cluster after its worker died.
RETRIES = 3


class Inline(Executor):
    """An executor that works in this process, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The finished future of a call."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future


def with_kernels(tag: str, fn: Callable[..., Any], *args: Any) -> Any:
    """The result of a call, where this process computes with the kernels of that tag; what a worker runs."""
    if numerics.tag() != tag:
        raise CfqError(
            f"a worker computes with {numerics.tag()}, the runs of this study with {tag}: start workers on machines of "
            "one kind, with ATEN_CPU_CAPABILITY=avx2 in their environment"
        )
    return fn(*args)


def start_server() -> None:
    """Let the server import beside this process; without this it starts with the first worker."""
    _context()
    forkserver.ensure_running()


def pool(workers: int) -> ProcessPoolExecutor:
    """An executor with so many processes, one thread each; they end with this process, however it ends."""
    return ProcessPoolExecutor(workers, mp_context=_context(), initializer=_end_with_parent)


def _context() -> BaseContext:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported
    context = _Context()
    context.set_forkserver_preload([IMPORTED])
    return context


class _Worker(ForkServerProcess):
    """A process that does not run its caller's script again: a script without a guard may start a study."""

    @staticmethod
    def _Popen(process: Any) -> Any:  # noqa: N802  # the name that multiprocessing calls
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")  # what the worker is told to import: nothing
        try:
            return ForkServerProcess._Popen(process)
        finally:
            sys.modules["__main__"] = main


class _Context(ForkServerContext):
    Process = _Worker


def _end_with_parent() -> None:
    """A worker of a process that was killed would wait for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def dask_executor(address: str, kept: str = "finished runs are stored; ") -> Iterator[Executor]:
    """An executor on the scheduler at ``tcp://HOST:PORT``; a task whose worker dies is run again elsewhere.

    ``kept``: what is left of the work where the scheduler goes away.
    """
    if not address.startswith(("tcp://", "tls://")):
        raise BadPlan(f'--scheduler "{address}": an address such as tcp://127.0.0.1:8786')
    try:
        from distributed import Client
    except ImportError as problem:
        raise CfqError("the cluster extra is not installed: pip install 'cfq[cluster]'") from problem
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it says in tracebacks is one line below
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except OSError as problem:
        raise CfqError(f"{address}: no Dask scheduler answers within {CONNECT_TIMEOUT} s") from problem
    try:
        with client, client.get_executor(retries=RETRIES) as executor:
            yield executor
    except (OSError, CancelledError) as problem:  # distributed's own errors of a lost connection are both
        if isinstance(problem, OSError) and client.status == "running" and client.scheduler_info(n_workers=1):
            raise
        raise CfqError(
            f"{address}: the Dask scheduler went away ({type(problem).__name__}); {kept}start it and run the same "
            "command again"
        ) from problem


@contextmanager
def workers_or_cluster(workers: int, address: str | None) -> Iterator[Executor | None]:
    """An executor on a cluster, else with so many processes here; None of none: the caller works by itself."""
    if address is not None:
        with dask_executor(address, kept="") as executor:
            yield executor
    elif not workers:
        yield None
    else:
        try:
            with pool(workers) as executor:
                yield executor
        except BrokenProcessPool as problem:
            raise CfqError("a worker process died; run the same command again") from problem
