"""What a certificate is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from cfq_core.evidence import Evidence


@dataclass(frozen=True)
class Certificate:
    """A sentence, and for which people it is proved."""

    title: str
    sentence: str  # true of every person with `holds`
    holds: Callable[[Evidence], Bool[np.ndarray, "k"]]
    transfer: bool = True  # it says why the promise survives; False: it says more about a promise that is seen to
