"""COMPAS: 6,172 defendants of Broward County (ProPublica), two-year recidivism."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cfq_core.datasets.fetch import FILES, fetch
from cfq_core.tables.schema import Feature, Schema, Table

RACE = ("African-American", "Asian", "Caucasian", "Hispanic", "Native American", "Other")
CHARGE = {"F": "felony", "M": "misdemeanour"}

SCHEMA = Schema(
    name="compas",
    title="COMPAS (6,172 defendants, Broward County 2013-2014)",
    favourable="no new offence within two years",
    unfavourable="a new offence within two years",
    note=(
        "Its actions are a benchmark convention: nobody can change their past counts, and a changed charge is not a "
        "choice. Do not read them as advice. Arrest data carry the bias of policing."
    ),
    source="ProPublica compas-analysis, compas-scores-two-years.csv, its published row filter",
    licence="ProPublica data terms: not to be redistributed",
    features=(
        Feature("age", "integer", "age", "years", move="fixed", protected=True, bands=(25.0, 45.0)),
        Feature("priors", "integer", "prior offences", low=0.0, easy=True),
        Feature("juvenile_felonies", "integer", "juvenile felonies", low=0.0),
        Feature("juvenile_misdemeanours", "integer", "juvenile misdemeanours", low=0.0),
        Feature("juvenile_other", "integer", "other juvenile offences", low=0.0),
        Feature("days_in_jail", "integer", "time in jail for this charge", "days", low=0.0, easy=True),
        Feature("charge", "category", "degree of the charge", levels=tuple(CHARGE.values())),
        Feature("sex", "category", "sex", levels=("Female", "Male"), move="fixed", protected=True),
        Feature("race", "category", "race", levels=RACE, move="fixed", protected=True),
    ),
)

SOURCE_COLUMNS = {
    "priors": "priors_count",
    "juvenile_felonies": "juv_fel_count",
    "juvenile_misdemeanours": "juv_misd_count",
    "juvenile_other": "juv_other_count",
}


@dataclass(frozen=True)
class Compas:
    """Favourable: no recidivism within two years (54 % of the rows)."""

    schema: Schema = SCHEMA

    def load(self) -> Table:
        """ProPublica's row filter applied to the published file; raises `DataUnavailable` offline."""
        frame = _published_filter(pd.read_csv(fetch(FILES["compas"][0])))
        stay = pd.to_datetime(frame.c_jail_out) - pd.to_datetime(frame.c_jail_in)
        frame["days_in_jail"] = stay.dt.days.clip(lower=0).fillna(0)
        frame["charge"] = frame.c_charge_degree.map(CHARGE)
        columns = [_column(f, frame[SOURCE_COLUMNS.get(f.name, f.name)]) for f in self.schema.features]
        return Table(self.schema, np.stack(columns, axis=1), (frame.two_year_recid == 0).to_numpy())


def _published_filter(frame: pd.DataFrame) -> pd.DataFrame:
    near = frame.days_b_screening_arrest.between(-30, 30)
    return frame[near & (frame.is_recid != -1) & (frame.c_charge_degree != "O") & (frame.score_text != "N/A")].copy()


def _column(f: Feature, cells: pd.Series) -> np.ndarray:
    if f.levels:
        return cells.map(f.levels.index).to_numpy(np.int64)
    return f.counts(cells.to_numpy(np.float64))


PLUGIN = Compas()
