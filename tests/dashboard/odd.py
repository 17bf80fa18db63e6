"""Tables at the ends of what a table may be: features of one kind, nothing to change, nobody protected, few denied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cfq_core.base.seeds import numpy_stream

ROWS = 400
Made = tuple[pd.DataFrame, dict[str, Any]]  # a table and its card


def _table(columns: dict[str, Any], good: np.ndarray, **keys: dict[str, Any]) -> Made:
    """Columns with an outcome; ``keys``: what the card says of them."""
    frame = pd.DataFrame(columns | {"outcome": np.where(good, "yes", "no")})
    kinds = [
        {"kind": "category"} if isinstance(v[0], str) else {"kind": "number", "step": 0.5} for v in columns.values()
    ]
    features = [{"name": n, **kind, **keys.get(n, {})} for n, kind in zip(columns, kinds, strict=True)]
    return frame, {"name": "odd", "title": "Odd", "target": "outcome", "favourable": "yes", "feature": features}


def tables() -> dict[str, Made]:
    """By what is odd about them."""
    random = numpy_stream(0, "tests/odd")
    noise = random.normal(0, 3, ROWS)
    one, two, *many = (random.integers(0, 80, ROWS) / 2 for _ in range(42))
    home, sex, car = (random.choice(w, ROWS).tolist() for w in (["own", "rent", "free"], ["f", "m"], ["yes", "no"]))
    owns = 10.0 * (np.array(home) == "own")
    protected = {"protected": True}

    def above(value: np.ndarray, share: float = 0.5) -> np.ndarray:
        return value > np.quantile(value, share)

    both = one + two + noise
    return {
        "numbers alone": _table({"one": one, "two": two}, above(both)),
        "categories alone": _table({"home": home, "car": car, "sex": sex}, above(owns + noise), sex=protected),
        "one number": _table({"one": one}, above(one + noise)),
        "one category": _table({"home": home}, above(owns + noise)),
        "many numbers": _table({f"n{j}": n for j, n in enumerate(many)}, above(sum(many[:5]) + noise)),
        "nothing can be changed": _table({"one": one, "sex": sex}, above(both), one={"immutable": True}, sex=protected),
        "three of a group": _table({"one": one, "sex": ["f"] * (ROWS - 3) + ["m"] * 3}, above(both), sex=protected),
        "few are denied": _table({"one": one, "two": two, "sex": sex}, above(both, 0.04), sex=protected),
        "few are approved": _table({"one": one, "two": two, "sex": sex}, above(both, 0.94), sex=protected),
        "nothing is learned": _table({"one": one, "home": home}, random.random(ROWS) > 0.5),
        "all is known": _table({"one": one, "home": home}, above(one)),
        "a column aside": _table({"one": one, "sex": sex}, above(one + noise), sex=protected | {"aside": True}),
        "one way only": _table({"one": one, "two": two}, above(both), one={"move": "up"}, two={"move": "fixed"}),
    }
