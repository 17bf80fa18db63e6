"""What proofs may take: boxes of each person, or CPU seconds of all of them together."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int
from torch import Tensor

LATER = 1 / 3  # of what was spent on the whole, for raising a lower bound where that did not last


@dataclass
class Budget:
    """Boxes that each instance may take, and until when; who needs many seconds is lent those that others leave."""

    instances: int
    boxes: float = math.inf
    until: float = math.inf  # CPU seconds of the thread that asks
    taken: Int[Tensor, "i"] = field(init=False)

    def __post_init__(self) -> None:
        self.taken = torch.zeros(self.instances, dtype=torch.int64)

    @staticmethod
    def of(instances: int, boxes: int, seconds: float | None) -> Budget:
        """So many boxes; or so many seconds an instance, from now on, instead."""
        if seconds is None:
            return Budget(instances, boxes * (1 + LATER))
        return Budget(instances, until=time.thread_time() + seconds * instances)

    @property
    def late(self) -> bool:
        """Whether the seconds are spent."""
        return math.isfinite(self.until) and time.thread_time() >= self.until

    def share(self, people: float) -> Budget:
        """That of a share of the people: as many boxes each, and their share of the seconds that are left."""
        return Budget(self.instances, self.boxes, self._in(people))

    def first(self) -> Budget:
        """What of it is spent before lower bounds are raised."""
        return Budget(self.instances, self.boxes / (1 + LATER), self._in(1 / (1 + LATER)))

    def later(self) -> Budget:
        """What is left for that."""
        return Budget(self.instances, self.boxes * LATER / (1 + LATER), self.until)

    def take(self, rows: Int[Tensor, "b"]) -> None:
        """A box of each listed instance."""
        self.taken += torch.bincount(rows, minlength=self.instances)

    def spent(self, rows: Int[Tensor, "b"]) -> Bool[Tensor, "b"]:
        """Whose is."""
        return torch.full_like(rows, True, dtype=torch.bool) if self.late else self.taken[rows] >= self.boxes

    def _in(self, share: float) -> float:
        now = time.thread_time() if math.isfinite(self.until) else 0.0
        return now + share * max(0.0, self.until - now)
