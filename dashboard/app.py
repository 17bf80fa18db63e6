"""The dashboard's server: `make run`, `cfq dashboard`, or `streamlit run dashboard/app.py`.

The script stands in ``lib/``: beside the folder ``pages/`` streamlit would take that folder for its own multipage
scheme, and a server's first visitor would get a bare page from a deep link.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from dashboard.lib import boot


@asynccontextmanager
async def warm(_: Any) -> AsyncIterator[None]:
    """Before the first visitor, not with them."""
    boot.boot()
    yield


app = st.App(
    Path(__file__).parent / "lib" / "script.py",
    lifespan=warm,
    middleware=[Middleware(GZipMiddleware, minimum_size=2000)],  # 10 MB of scripts on a first visit become 3
)
