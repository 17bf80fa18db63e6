"""A Dask cluster as an executor: the same plan on more machines than one (extra: ``pip install cfq[cluster]``)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from cfq_core.base.errors import BadPlan, CfqError

CONNECT_TIMEOUT = 10  # seconds


@contextmanager
def dask_executor(address: str) -> Iterator[Executor]:
    """An executor on the scheduler at ``tcp://HOST:PORT``; a task whose worker dies is run again elsewhere."""
    if not address.startswith(("tcp://", "tls://")):
        raise BadPlan(f'--scheduler "{address}": an address such as tcp://127.0.0.1:8786')
    try:
        from distributed import Client
    except ImportError as problem:
        raise CfqError("the cluster extra is not installed: pip install 'cfq[cluster]'") from problem
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except OSError as problem:
        raise CfqError(f"{address}: no Dask scheduler answers within {CONNECT_TIMEOUT} s") from problem
    with client, client.get_executor(retries=RETRIES) as executor:
        yield executor


#: Times a task may be run again after its worker died.
RETRIES = 3
