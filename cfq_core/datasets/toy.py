"""Two numbers and one group, made in the file: for boundary pictures and teaching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfq_core.base.seeds import numpy_stream
from cfq_core.tables.schema import Feature, Schema, Table

SCHEMA = Schema(
    name="toy",
    title="Toy loans (synthetic)",
    favourable="loan granted",
    unfavourable="loan refused",
    note="Made by a formula: for pictures and teaching, not about anybody.",
    source="generated in cfq_core/datasets/toy.py",
    licence="CC0",
    features=(
        Feature("income", "number", "monthly income", "kEUR", step=0.01, low=0.0, high=10.0, easy=True),
        Feature("savings", "number", "savings", "kEUR", step=0.01, low=0.0, high=20.0),
        Feature("group", "category", levels=("circle", "square"), protected=True, move="fixed"),
    ),
)


@dataclass(frozen=True)
class Toy:
    """A ring-shaped boundary with label noise; ``rows`` people from a fixed seed."""

    rows: int = 1200
    noise: float = 0.35  # standard deviation of the score's noise, against a spread of about 1.5
    schema: Schema = SCHEMA

    def load(self) -> Table:
        """The table; the same rows on every machine."""
        random = numpy_stream(0, "toy")
        income = random.gamma(4.0, 0.9, self.rows).clip(0, 10)
        savings = random.gamma(1.6, 2.6, self.rows).clip(0, 20)
        group = random.integers(0, 2, self.rows)
        score = 0.9 * (income - 3.6) + 0.25 * (savings - 4) + 0.8 * np.sin(income * 1.3) + 0.25 * np.cos(savings)
        outcome = score + self.noise * random.standard_normal(self.rows) > 0.2
        numbers = [f.counts(v) for f, v in zip(self.schema.features, (income, savings), strict=False)]
        return Table(self.schema, np.stack([*numbers, group], axis=1), outcome)


PLUGIN = Toy()
