"""How many bits each layer's weights get, and what that costs.

``BitCost = sum_l n_l b_l`` over weights; a budget is stated as average bits per weight,
``BitCost / sum_l n_l``, and never exceeded. Needs no torch: reading results does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

BitPlan = tuple[int, ...]  # weight bits of every layer

#: Bits a runtime stores a weight of b bits in: there is no 3-, 5- or 6-bit container.
CONTAINER = {2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 8: 8}

FLOAT_BYTES = 4  # a step
BIAS_BYTES = 4  # an int32 bias


def bit_cost(plan: BitPlan, sizes: Sequence[int]) -> int:
    """Bits of all weights."""
    return sum(b * n for b, n in zip(plan, sizes, strict=True))


def average_bits(plan: BitPlan, sizes: Sequence[int]) -> float:
    """Average bits per weight."""
    return bit_cost(plan, sizes) / sum(sizes)


def size_bytes(plan: BitPlan, sizes: Sequence[int], outputs: Sequence[int]) -> int:
    """Bytes of the deployed file's parameters: packed weights in their containers, steps, int32 biases."""
    weights = sum(math.ceil(CONTAINER[b] * n / 8) for b, n in zip(plan, sizes, strict=True))
    steps = FLOAT_BYTES * (sum(outputs) + len(plan))
    return weights + steps + BIAS_BYTES * sum(outputs)
