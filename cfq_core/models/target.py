"""Which runtimes a file is for: its form, its operator set, what its weights lie in, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cfq_core.base.errors import BadInput
from cfq_core.quant.bits import CONTAINER

Form = Literal["exact", "standard"]
Containers = Literal["int8", "int4", "native"]
Inputs = Literal["encoded", "raw"]
FORMS: tuple[Form, ...] = ("exact", "standard")
CONTAINERS: tuple[Containers, ...] = ("int8", "int4", "native")
INPUTS: tuple[Inputs, ...] = ("encoded", "raw")

#: Narrowest container of each choice, in bits, and the first ONNX operator set whose DequantizeLinear takes it.
NARROWEST: dict[str, int] = {"int8": 8, "int4": 4, "native": 2}
OPSET = {2: 25, 4: 21, 8: 13}
OPSETS = range(13, 26)


@dataclass(frozen=True)
class Target:
    """What a file is written for. The default loads in onnxruntime 1.19 and later; opset 13 with int8 anywhere."""

    opset: int = 21
    containers: Containers = "int4"  # narrowest that a weight lies in; native: 2 bits in INT2
    inputs: Inputs = "encoded"  # raw: one named column a feature, the encoding inside the graph

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise BadInput(f"opset {self.opset}; one from {OPSETS[0]} to {OPSETS[-1]}")
        if self.opset < (least := OPSET[NARROWEST[self.containers]]):
            raise BadInput(
                f"containers {self.containers} need opset {least} or later; with opset {self.opset} take int8"
            )

    def container(self, bits: int) -> int:
        """Bits that a weight of some bits lies in."""
        return max(CONTAINER[bits], NARROWEST[self.containers])


def target_of(opset: int | None, containers: Containers | None, inputs: Inputs = "encoded") -> Target:
    """What is not said follows from what is: INT4 where the operator set has it; the lowest set that has it."""
    if containers is None:
        containers = "int4" if opset is None or opset >= OPSET[4] else "int8"
    return Target(OPSET[NARROWEST[containers]] if opset is None else opset, containers, inputs)
