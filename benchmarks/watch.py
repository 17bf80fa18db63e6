"""False alarms of `cfq watch`, and how soon it finds drifts that are injected.

    python -m benchmarks.watch [--series 400] [--looks 10]

A series is an audit of 2,000 people (a quarter of them promised) and looks at batches of 500; nothing but the named
rate changes. Written to ``benchmarks/numbers/watch.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cfq_core.base.seeds import numpy_stream
from cfq_core.study.drift import ERROR, Batch, look

AUDITED, BATCH = 2000, 500
VD, APPROVED = 0.10, 0.40
CATEGORY = np.array([False, False, True])
#: What is injected at every look: the rate of broken promises, the share of approvals, an input's shift in deviations.
DRIFTS = {
    "nothing": {}, "VD 10 to 15 %": {"vd": 0.15}, "VD 10 to 20 %": {"vd": 0.20}, "VD 10 to 30 %": {"vd": 0.30},
    "approvals 40 to 45 %": {"approved": 0.45}, "approvals 40 to 50 %": {"approved": 0.50},
    "an input by 0.2 sd": {"moved": 0.2}, "an input by 0.5 sd": {"moved": 0.5},
}  # fmt: skip


def batch(
    random: np.random.Generator, size: int, vd: float = VD, approved: float = APPROVED, moved: float = 0
) -> Batch:
    """People of these rates."""
    asked, back = size // 4, size // 25
    numbers = [random.normal(40 + 10 * moved, 10, size), random.gamma(2.0, 20.0, size)]
    values = np.stack([*(np.rint(n) for n in numbers), random.integers(0, 5, size)], axis=1).astype(np.int64)
    return Batch(int(random.binomial(asked, vd)), asked, int(random.binomial(back, vd)), back,
                 int(random.binomial(size, approved)), values, CATEGORY)  # fmt: skip


def first_alarm(seed: int, looks: int, drift: dict[str, float]) -> int | None:
    """The first look that raises an alarm."""
    random = numpy_stream(seed, "benchmarks/watch")
    then = batch(random, AUDITED)
    return next((k for k in range(1, looks + 1) if look(then, batch(random, BATCH, **drift), k).alarm), None)


def main() -> None:
    """Every drift; nothing at all with all series, the others with a quarter of them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=400)
    options.add_argument("--looks", type=int, default=10)
    given = options.parse_args()
    out = {"series": given.series, "looks": given.looks, "error": ERROR, "drifts": {}}
    for name, drift in DRIFTS.items():
        number = given.series if not drift else max(1, given.series // 4)
        found = [first_alarm(seed, given.looks, drift) for seed in range(number)]
        delays = sorted(f for f in found if f is not None)
        median = delays[len(delays) // 2] if len(delays) > number / 2 else None
        out["drifts"][name] = {"series": number, "alarms": len(delays), "share": len(delays) / number, "median": median}
        print(
            f"{name:22} {len(delays):4} of {number:4} raise an alarm within {given.looks} looks; median look {median}"
        )
    (Path(__file__).parent / "numbers" / "watch.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
