"""German Credit: 1,000 loan applicants (UCI Statlog), coded levels shown as words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cfq_core.datasets.fetch import FILES, fetch
from cfq_core.tables.schema import Feature, Schema, Table

#: Code -> words, in the order of the features below; the codes are those of german.doc.
WORDS = {
    "checking": {"A11": "overdrawn", "A12": "0 to 200 DM", "A13": "200 DM and more", "A14": "no checking account"},
    "history": {
        "A30": "no credits taken",
        "A31": "all paid back at this bank",
        "A32": "existing paid back duly",
        "A33": "delays in the past",
        "A34": "critical account",
    },
    "purpose": {
        "A40": "new car",
        "A41": "used car",
        "A42": "furniture",
        "A43": "radio or television",
        "A44": "appliances",
        "A45": "repairs",
        "A46": "education",
        "A48": "retraining",
        "A49": "business",
        "A410": "others",
    },
    "savings": {
        "A61": "under 100 DM",
        "A62": "100 to 500 DM",
        "A63": "500 to 1000 DM",
        "A64": "1000 DM and more",
        "A65": "unknown or none",
    },
    "employment": {
        "A71": "unemployed",
        "A72": "under 1 year",
        "A73": "1 to 4 years",
        "A74": "4 to 7 years",
        "A75": "7 years and more",
    },
    "sex": {"A91": "male", "A92": "female", "A93": "male", "A94": "male", "A95": "female"},
    "personal_status": {
        "A91": "man, divorced or separated",
        "A92": "woman, divorced, separated or married",
        "A93": "man, single",
        "A94": "man, married or widowed",
        "A95": "woman, single",
    },
    "debtors": {"A101": "none", "A102": "co-applicant", "A103": "guarantor"},
    "property": {
        "A121": "real estate",
        "A122": "savings agreement or life insurance",
        "A123": "car or other",
        "A124": "none known",
    },
    "plans": {"A141": "at a bank", "A142": "at stores", "A143": "none"},
    "housing": {"A151": "rent", "A152": "own", "A153": "for free"},
    "job": {
        "A171": "unskilled, non-resident",
        "A172": "unskilled, resident",
        "A173": "skilled",
        "A174": "management or highly qualified",
    },
    "phone": {"A191": "none", "A192": "registered"},
    "foreign": {"A201": "yes", "A202": "no"},
}

COLUMNS = (
    "checking duration history purpose amount savings employment installment_rate personal_status debtors "
    "residence property age plans housing credits job dependents phone foreign outcome"
).split()


def _levels(name: str) -> tuple[str, ...]:
    seen = [word for code, word in WORDS[name].items() if code != "A95"]  # no single woman is in the table
    return tuple(dict.fromkeys(seen))


SCHEMA = Schema(
    name="german",
    title="German Credit (1,000 applicants, 1994)",
    favourable="good credit risk",
    unfavourable="bad credit risk",
    note=(
        "Collected in 1973 to 1975 and published in 1994; a benchmark, not today's lending. A borrower may ask for "
        "less money or a shorter loan, never for more. About 60 denied people in each test split: pool the seeds."
    ),
    source="UCI Statlog (German Credit Data), Hofmann 1994, doi 10.24432/C5NC77",
    licence="CC BY 4.0",
    features=(
        Feature(
            "checking",
            "category",
            "checking account",
            levels=_levels("checking"),
            move="up",
            never=("no checking account",),
        ),
        Feature("duration", "integer", "duration of the loan", "months", move="down", low=4.0, easy=True),
        Feature("history", "category", "credit history", levels=_levels("history"), move="fixed", immutable=True),
        Feature("purpose", "category", "purpose", levels=_levels("purpose"), move="fixed", immutable=True),
        Feature("amount", "integer", "amount of the loan", "DM", move="down", low=250.0, easy=True),
        Feature("savings", "category", "savings", levels=_levels("savings"), move="up", never=("unknown or none",)),
        Feature("employment", "ordinal", "present employment since", levels=_levels("employment"), move="up"),
        Feature(
            "installment_rate", "integer", "instalment as a share of income", "quarter", low=1.0, high=4.0, easy=True
        ),
        Feature(
            "personal_status",
            "category",
            "personal status",
            levels=_levels("personal_status"),
            move="fixed",
            immutable=True,
        ),
        Feature("sex", "category", "sex", levels=_levels("sex"), move="fixed", protected=True),
        Feature("debtors", "category", "other debtors", levels=_levels("debtors"), easy=True),
        Feature("residence", "integer", "present residence since", "years", move="fixed", immutable=True),
        Feature("property", "category", "property", levels=_levels("property")),
        Feature("age", "integer", "age", "years", move="fixed", protected=True, bands=(26.0, 60.0)),
        Feature("plans", "category", "other instalment plans", levels=_levels("plans"), easy=True),
        Feature("housing", "category", "housing", levels=_levels("housing")),
        Feature("credits", "integer", "credits at this bank", move="fixed", immutable=True),
        Feature("job", "ordinal", "job", levels=_levels("job"), move="up"),
        Feature("dependents", "integer", "people to maintain", move="fixed", immutable=True),
        Feature("phone", "category", "telephone", levels=_levels("phone"), easy=True),
        Feature("foreign", "category", "foreign worker", levels=_levels("foreign"), move="fixed", protected=True),
    ),
)


@dataclass(frozen=True)
class German:
    """Favourable: class 1, a good credit risk (700 of 1,000)."""

    schema: Schema = SCHEMA

    def load(self) -> Table:
        """The published rows, codes turned into words; raises `DataUnavailable` offline."""
        frame = pd.read_csv(fetch(FILES["german"][0]), sep=r"\s+", header=None, names=COLUMNS)
        frame["sex"] = frame.personal_status
        columns = [self._column(f, frame[f.name]) for f in self.schema.features]
        return Table(self.schema, np.stack(columns, axis=1), (frame.outcome == 1).to_numpy())

    @staticmethod
    def _column(f: Feature, cells: pd.Series) -> np.ndarray:
        if not f.levels:
            return f.counts(cells.to_numpy(np.float64))
        return cells.map(lambda code: f.levels.index(WORDS[f.name][code])).to_numpy(np.int64)


PLUGIN = German()
