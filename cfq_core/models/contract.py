"""What is said of a model file: which side is good, where the cut is, what its numbers are, how its inputs are made.

Whatever is not said is found on rows whose outcomes are known, and told; where they leave a doubt that changes
decisions, the file is refused in one line that names the option.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from cfq_core.base.errors import BadInput, did_you_mean
from cfq_core.models.columns import LAYOUTS, Layout

Output = Literal["auto", "logit", "probability", "score"]
OUTPUTS: tuple[Output, ...] = get_args(Output)
HIGH, LOW = "high", "low"


@dataclass(frozen=True)
class Contract:
    """How one file is to be read; empty, None and auto: nobody said."""

    KEY = "contract"
    favourable: str = ""  # high, low, or the label of a class
    threshold: float | None = None  # in the output's own units; a person at the threshold is on the favourable side
    output: Output = "auto"
    layout: Layout = "auto"

    def __post_init__(self) -> None:
        for name, value, allowed in (("output", self.output, OUTPUTS), ("layout", self.layout, LAYOUTS)):
            if value not in allowed:
                raise BadInput(f'{name} = "{value}"; one of {", ".join(allowed)}{did_you_mean(str(value), allowed)}')
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise BadInput(f"threshold = {self.threshold}; a finite number, in the units of the model's output")
        if self.output == "probability" and self.threshold is not None and not 0 < self.threshold < 1:
            raise BadInput(f"threshold = {self.threshold:g}; between 0 and 1 for a probability")

    @staticmethod
    def read(given: Mapping[str, Any], where: str) -> Contract:
        """From plain values, as a card's ``[model]`` or a plan has them; raises `BadInput` in one line."""
        kinds: dict[str, tuple[type, ...]] = {
            "favourable": (str,), "threshold": (int, float), "output": (str,), "layout": (str,)
        }  # fmt: skip
        for key, value in given.items():
            if key not in kinds:
                raise BadInput(f'{where}: unknown key "{key}"; one of {", ".join(kinds)}{did_you_mean(key, kinds)}')
            if isinstance(value, bool) or not isinstance(value, kinds[key]):
                raise BadInput(f"{where}: {key} = {value!r}; a {'number' if key == 'threshold' else 'text in quotes'}")
        read = dict(given)
        if "threshold" in read:
            read["threshold"] = float(read["threshold"])
        try:
            return Contract(**read)
        except BadInput as problem:
            raise BadInput(f"{where}: {problem}") from None

    def over(self, other: Contract) -> Contract:
        """This one, and what the other says where this one says nothing."""
        said = {}
        for f in fields(self):
            mine = getattr(self, f.name)
            said[f.name] = getattr(other, f.name) if mine == f.default else mine
        return Contract(**said)
