"""The plan of least total sensitivity under a bit budget: an exact multiple-choice knapsack.

Layers are added one by one; of all partial plans only those stay that no other beats in both cost and
sensitivity. With a few layers and bit-widths that frontier is small, and the answer is exact (Nemhauser and Ullmann,
Management Science 15, 1969; brute force agrees in the tests). Where the budget has to be spent, a partial plan that
costs more may be the better one, and the best of every cost stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import or_

import numpy as np
from jaxtyping import Float, Int

from cfq_core.base.errors import BadPlan
from cfq_core.quant.bits import BitPlan


def cheapest_plan(
    sensitivity: Sequence[Sequence[float]], bits: Sequence[int], sizes: Sequence[int], budget: float
) -> BitPlan:
    """Bits per layer that minimise the sum of ``sensitivity[layer][choice]`` within ``budget`` average bits.

    Ties go to fewer bits. Raises `BadPlan` where even the fewest bits exceed the budget.
    """
    allowed = math.floor(budget * sum(sizes) + 1e-6)
    frontier: list[tuple[int, float, BitPlan]] = [(0, 0.0, ())]
    left = sum(sizes)
    for layer, size in zip(sensitivity, sizes, strict=True):
        left -= size
        grown = [
            (cost + size * b, total + s, (*plan, b))
            for cost, total, plan in frontier
            for b, s in zip(bits, layer, strict=True)
            if cost + size * b + left * min(bits) <= allowed
        ]
        frontier = _undominated(grown)
    if not frontier:
        raise BadPlan(f"a budget of {budget:g} bits per weight; at least {min(bits)}")
    return min(frontier, key=lambda f: (f[1], f[0]))[2]


def fullest_plan(
    sensitivity: Sequence[Sequence[float]], bits: Sequence[int], sizes: Sequence[int], budget: float, share: float
) -> BitPlan:
    """The same among plans that spend at least ``share`` of the budget, or as much of it as any plan does.

    Raises `BadPlan` where even the fewest bits exceed the budget.
    """
    allowed = math.floor(budget * sum(sizes) + 1e-6)
    least = min(math.ceil(share * budget * sum(sizes) - 1e-6), _most_spent(bits, sizes, allowed))
    best: dict[int, tuple[float, BitPlan]] = {0: (0.0, ())}
    left = sum(sizes)
    for layer, size in zip(sensitivity, sizes, strict=True):
        left -= size
        grown: dict[int, tuple[float, BitPlan]] = {}
        for cost, (total, plan) in best.items():
            for b, s in zip(bits, layer, strict=True):
                spent = cost + size * b
                if spent + left * min(bits) > allowed or spent + left * max(bits) < least:
                    continue
                grown[spent] = min(grown.get(spent, (math.inf, ())), (total + s, (*plan, b)))
        best = grown
    if not best:
        raise BadPlan(f"a budget of {budget:g} bits per weight; at least {min(bits)}")
    return min((total, cost, plan) for cost, (total, plan) in best.items())[2]


def least_plan(
    plans: Int[np.ndarray, "p l"], value: Float[np.ndarray, "p"], sizes: Sequence[int], budget: float
) -> BitPlan:
    """The plan of least ``value`` within ``budget`` average bits, of plans that were each judged; ties: fewer bits.

    Raises `BadPlan` where none of them fits.
    """
    cost = plans @ np.array(sizes)
    within = cost <= math.floor(budget * sum(sizes) + 1e-6)
    if not within.any():
        raise BadPlan(f"a budget of {budget:g} bits per weight; at least {plans.min()}")
    best = np.lexsort((cost, np.where(within, value, np.inf)))[0]
    return tuple(int(b) for b in plans[best])


def _most_spent(bits: Sequence[int], sizes: Sequence[int], allowed: int) -> int:
    """What the plan spends that leaves least of the budget; bit c of a large integer says that a plan costs c."""
    reached = 1
    for size in sizes:
        reached = reduce(or_, (reached << size * b for b in bits)) & ((1 << (allowed + 1)) - 1)
    return reached.bit_length() - 1


def _undominated(partial: list[tuple[int, float, BitPlan]]) -> list[tuple[int, float, BitPlan]]:
    kept: list[tuple[int, float, BitPlan]] = []
    for candidate in sorted(partial):
        if not kept or candidate[1] < kept[-1][1]:
            kept.append(candidate)
    return kept
