"""442 diabetes patients (scikit-learn, offline): the embedded real default."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_diabetes

from cfq_core.tables.schema import Feature, Schema, Table

SCHEMA = Schema(
    name="diabetes",
    title="Diabetes progression (442 patients)",
    favourable="progression below the median",
    unfavourable="progression above the median",
    note=(
        "A small real table that needs no download. Its actions are a benchmark convention, not medical advice: "
        "nobody sets a blood value by decision, and the model does not know causes."
    ),
    source="Efron, Hastie, Johnstone, Tibshirani, Least Angle Regression (2004); sklearn.datasets.load_diabetes",
    licence="BSD-3-Clause, as shipped with scikit-learn",
    features=(
        Feature("age", "number", "age", "years", move="fixed", protected=True, bands=(40.0, 60.0)),
        Feature("sex", "category", "sex (coded 1 or 2 in the source)", levels=("1", "2"), move="fixed", protected=True),
        Feature("bmi", "number", "body mass index", "kg/m2", step=0.1, low=18.5, easy=True),
        Feature("bp", "number", "mean arterial blood pressure", "mmHg", step=0.01, low=70.0, easy=True),
        Feature("s1", "number", "total cholesterol", "mg/dl"),
        Feature("s2", "number", "LDL cholesterol", "mg/dl", step=0.1),
        Feature("s3", "number", "HDL cholesterol", "mg/dl", step=0.1),
        Feature("s4", "number", "cholesterol / HDL", step=0.01, move="fixed", immutable=True),  # follows from s1 and s3
        Feature("s5", "number", "log of triglycerides", "log mg/dl", step=0.0001),
        Feature("s6", "number", "blood glucose", "mg/dl", low=70.0, easy=True),
    ),
)


@dataclass(frozen=True)
class Diabetes:
    """Favourable: progression after one year below the median of the 442."""

    schema: Schema = SCHEMA

    def load(self) -> Table:
        """The table in raw units, read from scikit-learn's package."""
        raw = load_diabetes(as_frame=True, scaled=False)
        outcome = (raw.target < raw.target.median()).to_numpy()
        columns = []
        for f in self.schema.features:
            cells = raw.data[f.name].to_numpy(np.float64)
            columns.append(cells.astype(np.int64) - 1 if f.is_category else f.counts(cells))
        return Table(self.schema, np.stack(columns, axis=1), outcome)


PLUGIN = Diabetes()
