"""Adult: 48,842 people of the 1994 US census (UCI), the published split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cfq_core.datasets.fetch import FILES, fetch
from cfq_core.tables.schema import Feature, Schema, Table

UNKNOWN = "unknown"  # '?' in the files: a level of its own, no row is dropped

COLUMNS = (
    "age workclass fnlwgt education education_num marital_status occupation relationship race sex "
    "capital_gain capital_loss hours native_country outcome"
).split()

EDUCATION = (
    "Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad", "Some-college",
    "Assoc-voc", "Assoc-acdm", "Bachelors", "Masters", "Prof-school", "Doctorate",
)  # fmt: skip
WORKCLASS = (
    "Federal-gov", "Local-gov", "Never-worked", "Private", "Self-emp-inc", "Self-emp-not-inc", "State-gov",
    "Without-pay", UNKNOWN,
)  # fmt: skip
OCCUPATION = (
    "Adm-clerical", "Armed-Forces", "Craft-repair", "Exec-managerial", "Farming-fishing", "Handlers-cleaners",
    "Machine-op-inspct", "Other-service", "Priv-house-serv", "Prof-specialty", "Protective-serv", "Sales",
    "Tech-support", "Transport-moving", UNKNOWN,
)  # fmt: skip
MARITAL = (
    "Divorced", "Married-AF-spouse", "Married-civ-spouse", "Married-spouse-absent", "Never-married",
    "Separated", "Widowed",
)  # fmt: skip
RELATIONSHIP = ("Husband", "Not-in-family", "Other-relative", "Own-child", "Unmarried", "Wife")
RACE = ("Amer-Indian-Eskimo", "Asian-Pac-Islander", "Black", "Other", "White")
COUNTRY = ("United-States", "elsewhere", UNKNOWN)

SCHEMA = Schema(
    name="adult",
    title="Adult (48,842 people, US census 1994)",
    favourable="income above 50,000 dollars",
    unfavourable="income of 50,000 dollars or less",
    note=(
        "An income threshold of 1994 stands in for a decision; nobody is granted or refused anything here. "
        "Capital gain and loss are fixed by default, because one made-up gain would be everybody's answer. "
        "Countries are grouped into the United States, elsewhere and unknown."
    ),
    source="UCI Adult, Becker and Kohavi 1996, doi 10.24432/C5XW20",
    licence="CC BY 4.0",
    features=(
        Feature("age", "integer", "age", "years", move="fixed", protected=True, bands=(30.0, 50.0)),
        Feature("workclass", "category", "employer", levels=WORKCLASS, never=("Never-worked", "Without-pay", UNKNOWN)),
        Feature("education_num", "ordinal", "education", levels=EDUCATION, move="up"),
        Feature("marital_status", "category", "marital status", levels=MARITAL, move="fixed", immutable=True),
        Feature("occupation", "category", "occupation", levels=OCCUPATION, never=("Armed-Forces", UNKNOWN)),
        Feature("relationship", "category", "role in the household", levels=RELATIONSHIP, move="fixed", immutable=True),
        Feature("race", "category", "race", levels=RACE, move="fixed", protected=True),
        Feature("sex", "category", "sex", levels=("Female", "Male"), move="fixed", protected=True),
        Feature("capital_gain", "integer", "capital gain", "dollars a year", move="fixed", log=True, low=0.0),
        Feature("capital_loss", "integer", "capital loss", "dollars a year", move="fixed", log=True, low=0.0),
        Feature("hours", "integer", "work", "hours a week", easy=True),
        Feature("native_country", "category", "country of birth", levels=COUNTRY, move="fixed", protected=True),
    ),
)


@dataclass(frozen=True)
class Adult:
    """Favourable: income above 50,000 dollars; `adult.test` is the test split."""

    schema: Schema = SCHEMA

    def load(self) -> Table:
        """The published rows; raises `DataUnavailable` offline."""
        parts = [_read(i) for i in (0, 1)]
        frame = pd.concat(parts, ignore_index=True)
        test = np.repeat([False, True], [len(p) for p in parts])
        columns = [self._column(f, frame[f.name]) for f in self.schema.features]
        outcome = frame.outcome.str.startswith(">50K").to_numpy()
        return Table(self.schema, np.stack(columns, axis=1), outcome, test)

    @staticmethod
    def _column(f: Feature, cells: pd.Series) -> np.ndarray:
        if f.name == "education_num":
            return cells.to_numpy(np.int64) - 1  # published as 1 to 16
        if f.name == "native_country":
            cells = cells.where(cells.isin(["United-States", "?"]), "elsewhere")
        if not f.levels:
            return f.counts(cells.to_numpy(np.float64))
        return cells.replace("?", UNKNOWN).map(f.levels.index).to_numpy(np.int64)


def _read(part: int) -> pd.DataFrame:
    path = fetch(FILES["adult"][part])
    frame = pd.read_csv(
        path, header=None, names=COLUMNS, skipinitialspace=True, skiprows=part
    )  # the test file has a title line
    return frame.dropna(subset=["outcome"])


PLUGIN = Adult()
