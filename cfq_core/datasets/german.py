"""German Credit: 1,000 loan applicants (UCI Statlog), coded levels shown as words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cfq_core.datasets.fetch import FILES, fetch
from cfq_core.tables.schema import Feature, Schema, Table

#: What each code means, after Groemping (2019): the published `german.doc` is wrong for many columns. Code 2 of
#: personal status is "woman, not single, or man, single", so no column of sex can be made of it.
WORDS: dict[str, dict[object, str]] = {
    "checking": {"A11": "no checking account", "A12": "overdrawn", "A13": "0 to 200 DM", "A14": "200 DM or a salary"},
    "history": {
        "A30": "delays in the past",
        "A31": "critical account or credits elsewhere",
        "A32": "no credits taken or all paid back duly",
        "A33": "existing paid back duly",
        "A34": "all paid back at this bank",
    },
    "purpose": {
        "A40": "others",
        "A41": "new car",
        "A42": "used car",
        "A43": "furniture",
        "A44": "radio or television",
        "A45": "appliances",
        "A46": "repairs",
        "A48": "vacation",
        "A49": "retraining",
        "A410": "business",
    },
    "savings": {
        "A61": "unknown or none",
        "A62": "under 100 DM",
        "A63": "100 to 500 DM",
        "A64": "500 to 1000 DM",
        "A65": "1000 DM and more",
    },
    "employment": {
        "A71": "unemployed",
        "A72": "under 1 year",
        "A73": "1 to 4 years",
        "A74": "4 to 7 years",
        "A75": "7 years and more",
    },
    "installment_rate": {1: "35 % and more", 2: "25 to 35 %", 3: "20 to 25 %", 4: "under 20 %"},
    "personal_status": {
        "A91": "man, divorced or separated",
        "A92": "woman, not single, or man, single",
        "A93": "man, married or widowed",
        "A94": "woman, single",
    },
    "debtors": {"A101": "none", "A102": "co-applicant", "A103": "guarantor"},
    "residence": {1: "under 1 year", 2: "1 to 4 years", 3: "4 to 7 years", 4: "7 years and more"},
    "property": {
        "A121": "none known",
        "A122": "car or other",
        "A123": "savings agreement or life insurance",
        "A124": "real estate",
    },
    "plans": {"A141": "at a bank", "A142": "at stores", "A143": "none"},
    "housing": {"A151": "for free", "A152": "rent", "A153": "own"},
    "credits": {1: "1", 2: "2 or 3", 3: "4 or 5", 4: "6 and more"},
    "job": {
        "A171": "unskilled, non-resident",
        "A172": "unskilled, resident",
        "A173": "skilled",
        "A174": "management or highly qualified",
    },
    "dependents": {1: "0 to 2", 2: "3 and more"},
    "phone": {"A191": "none", "A192": "registered"},
    "foreign": {"A201": "no", "A202": "yes"},
}

COLUMNS = (
    "checking duration history purpose amount savings employment installment_rate personal_status debtors "
    "residence property age plans housing credits job dependents phone foreign outcome"
).split()


def _levels(name: str) -> tuple[str, ...]:
    return tuple(WORDS[name].values())


SCHEMA = Schema(
    name="german",
    title="German Credit (1,000 applicants, 1994)",
    favourable="good credit risk",
    unfavourable="bad credit risk",
    note=(
        "Collected in 1973 to 1975 and published in 1994; a benchmark, not today's lending. A borrower may ask for "
        "less money or a shorter loan, never for more. About 60 denied people in each test split: take many seeds. "
        "Codes are read as Groemping (2019) corrected them; nobody's sex can be told from this table."
    ),
    source=(
        "UCI Statlog (German Credit Data), Hofmann 1994, doi 10.24432/C5NC77; codes: Groemping, South German Credit "
        "Data: Correcting a Widely Used Data Set, Report 4/2019, Beuth University of Applied Sciences Berlin"
    ),
    licence="CC BY 4.0",
    features=(
        Feature("checking", "category", "checking account", levels=_levels("checking"), move="up"),
        Feature("duration", "integer", "duration of the loan", "months", move="down", low=4.0, easy=True),
        Feature("history", "category", "credit history", levels=_levels("history"), move="fixed", immutable=True),
        Feature("purpose", "category", "purpose", levels=_levels("purpose"), move="fixed", immutable=True),
        Feature("amount", "integer", "amount of the loan", "DM", move="down", low=250.0, easy=True),
        Feature("savings", "category", "savings", levels=_levels("savings"), move="up"),
        Feature("employment", "ordinal", "present employment since", levels=_levels("employment"), move="up"),
        Feature(
            "installment_rate",
            "ordinal",
            "instalments as a share of income",
            levels=_levels("installment_rate"),
            easy=True,
        ),
        Feature(
            "personal_status",
            "category",
            "personal status",
            levels=_levels("personal_status"),
            move="fixed",
            immutable=True,
        ),
        Feature("debtors", "category", "other debtors", levels=_levels("debtors"), easy=True),
        Feature(
            "residence",
            "ordinal",
            "present residence since",
            levels=_levels("residence"),
            move="fixed",
            immutable=True,
        ),
        Feature("property", "category", "property", levels=_levels("property")),
        Feature("age", "integer", "age", "years", move="fixed", protected=True, bands=(26.0, 60.0)),
        Feature("plans", "category", "other instalment plans", levels=_levels("plans"), easy=True),
        Feature("housing", "category", "housing", levels=_levels("housing")),
        Feature("credits", "ordinal", "credits at this bank", levels=_levels("credits"), move="fixed", immutable=True),
        Feature("job", "ordinal", "job", levels=_levels("job"), move="up"),
        Feature(
            "dependents", "ordinal", "people to maintain", levels=_levels("dependents"), move="fixed", immutable=True
        ),
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
        columns = [self._column(f, frame[f.name]) for f in self.schema.features]
        return Table(self.schema, np.stack(columns, axis=1), (frame.outcome == 1).to_numpy())

    @staticmethod
    def _column(f: Feature, cells: pd.Series) -> np.ndarray:
        if not f.levels:
            return f.counts(cells.to_numpy(np.float64))
        return cells.map(lambda code: f.levels.index(WORDS[f.name][code])).to_numpy(np.int64)


PLUGIN = German()
