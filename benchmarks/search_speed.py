"""The default search against DiCE: same model, same people, same action box, one run.

    python -m benchmarks.search_speed [--gradient 20] [--random 20] [--ours 2000]     needs dice-ml (see README.md here)
    python -m benchmarks.search_speed --slope                                         needs nothing more

Adult, a 2x32 teacher, favourable = logit above 0 (DiCE's threshold of 0.5). DiCE answers people who are known to
have an action (it spends its longest runs on those who have none); ours answers denied people as they come. Each is
given the person's box: features that may vary, number ranges and allowed levels. An answer is usable where the
model approves the decoded row and the row breaks no rule of the card.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.search_quality import Case, case, one_thread
from cfq_core.base import plugins
from cfq_core.base.seeds import repeatable
from cfq_core.nets.stack import Scorer, score
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.outcome import Recourse
from cfq_core.recourse.search import Search
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Feature, Schema, Table
from tests.oracles.legality import count, frame

KAPPA = 0.0  # logits: DiCE asks for no margin, so neither do we
PEOPLE = (250, 500, 1000, 2000, 4000, 8000)
MODELS = (1, 2, 4, 8)
PER_MODEL = 1000  # people of each model in the second slope
REPEATS = 3  # the least of several timings
SEEN, SAME_LOGIT = 200, 1e-3  # rows on which DiCE's view of the model must agree with ours, and how closely
REQUIRED = 500  # times DiCE gradient, per person


# ---------------------------------------------------------------------- DiCE's view of our model and rows


class Approval(torch.nn.Module):
    """Our model behind DiCE's encoding: numbers scaled to [0, 1], then one column a level."""

    def __init__(self, model: Scorer, encoding: Encoding, columns: Sequence[str], ranges: dict[str, tuple]) -> None:
        super().__init__()
        features = {f.name: (i, f) for i, f in enumerate(encoding.schema.features)}
        self.model, self.width, self.numbers, levels = model, encoding.width, [], []
        for at, column in enumerate(columns):
            if column in ranges:
                i, f = features[column]
                low, high = (float(x) for x in ranges[column])
                self.numbers.append((at, encoding.starts[i], low, high, f.log, encoding.mean[i], encoding.std[i]))
            else:
                name = next(n for n in features if column.startswith(f"{n}_"))
                i, f = features[name]
                levels.append((at, encoding.starts[i] + f.levels.index(column[len(name) + 1 :])))
        self.level_from, self.level_to = ([pair[k] for pair in levels] for k in (0, 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Probability of the favourable decision, [n, 1]; [1] for one person."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        encoded = torch.zeros(len(rows), self.width)
        encoded[:, self.level_to] = rows[:, self.level_from]
        for at, to, low, high, log, mean, std in self.numbers:
            raw = rows[:, at] * (high - low) + low
            encoded[:, to] = ((torch.log1p(raw) if log else raw) - mean) / std
        return torch.sigmoid(score(self.model, encoded[None])[0]).reshape(*inputs.shape[:-1], 1)


def dice_frame(schema: Schema, values: np.ndarray) -> pd.DataFrame:
    """Rows as DiCE wants them: words of categories, whole numbers of everything else."""
    return pd.DataFrame(
        {
            f.name: np.array(f.levels, dtype=object)[values[:, i]] if f.is_category else values[:, i]
            for i, f in enumerate(schema.features)
        }
    )


def raw_frame(schema: Schema, rows: pd.DataFrame) -> pd.DataFrame:
    """DiCE's rows in raw words and units, as the rules read them; off-grid numbers stay off the grid."""
    columns = {}
    for f in schema.features:
        cells = rows[f.name].tolist()
        columns[f.name] = [_word(f, c) if f.levels else float(c) for c in cells]
    return pd.DataFrame(columns)


def _word(f: Feature, cell: Any) -> str:
    if f.is_category:
        return str(cell)
    place = float(cell)
    whole = place.is_integer() and 0 <= place < len(f.levels)
    return f.levels[int(place)] if whole else f"between levels: {place}"


class Dice:
    """DiCE on one model, asked one person at a time with that person's own box."""

    def __init__(self, method: str, asked: Case, table: Table) -> None:
        import dice_ml  # not a dependency: the comparison runs in an environment of its own

        self.schema, self.rules = asked.schema, asked.rules[0]
        names = [f.name for f in self.schema.features if not f.is_category]
        rows = dice_frame(self.schema, table.values)
        self.ranges = {n: (int(rows[n].min()), int(rows[n].max())) for n in names}
        labelled = rows.assign(outcome=table.outcome.astype(int))
        self.data = dice_ml.Data(dataframe=labelled, continuous_features=names, outcome_name="outcome")
        encoded = self.data.get_ohe_min_max_normalized_data(rows.iloc[:SEEN])
        self.data.create_ohe_params(encoded)
        self.columns = list(self.data.ohe_encoded_feature_names)
        encoding = asked.queries[0].encoding
        approval = Approval(asked.model, encoding, self.columns, self.ranges)
        seen = approval(torch.tensor(encoded.to_numpy(np.float64), dtype=torch.float32))[:, 0].logit().detach().numpy()
        ours = logits64(asked.model, 0, encoding, table.values[:SEEN])
        assert np.abs(seen - ours).max() < SAME_LOGIT, "DiCE sees another model"
        self.closed: list[int] = []  # columns of the levels this person may not have
        clamp = self.data.get_minx_maxx
        self.data.get_minx_maxx = lambda normalized=True: self._close(*clamp(normalized))
        model = dice_ml.Model(model=approval, backend="PYT", func="ohe-min-max")
        self.explainer = dice_ml.Dice(self.data, model, method=method)

    def _close(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        high[0, self.closed] = 0.0
        return low, high

    def answer(self, person: pd.DataFrame) -> pd.DataFrame | None:
        """One counterfactual row of one person, or None."""
        from raiutils.exceptions import UserConfigValidationException

        vary, ranges = self._box(person)
        quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        with quiet[0], quiet[1], warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = self.explainer.generate_counterfactuals(
                    person, total_CFs=1, desired_class=1, features_to_vary=vary, permitted_range=ranges
                ).cf_examples_list[0]
            except UserConfigValidationException:  # DiCE's way to say that it found none
                return None
        rows = found.final_cfs_df_sparse if found.final_cfs_df_sparse is not None else found.final_cfs_df
        return None if rows is None or not len(rows) else rows.iloc[[0]].reset_index(drop=True)

    def _box(self, person: pd.DataFrame) -> tuple[list[str], dict[str, list]]:
        """What may vary, and where to; a number that may not keeps DiCE's own range (an empty one divides by 0)."""
        vary, ranges = [], {n: list(r) for n, r in self.ranges.items()}
        self.closed = []
        raw = raw_frame(self.schema, person).iloc[0]
        for f in self.schema.features:
            counts = self.rules.choices(f, raw[f.name])
            if len(counts) == 1:
                continue
            vary.append(f.name)
            if f.is_category:
                ranges[f.name] = [f.levels[k] for k in counts]
                shut = {f"{f.name}_{level}" for k, level in enumerate(f.levels) if k not in counts}
                self.closed += [c for c, column in enumerate(self.columns) if column in shut]
            else:
                ranges[f.name] = [min(counts), max(counts)]
        return vary, ranges


# ---------------------------------------------------------------------- scoring, the same for both


@dataclass(frozen=True)
class Scored:
    """A method's answers, judged on decoded raw rows."""

    method: str
    cpu: float  # seconds in all
    answered: np.ndarray  # bool, per person
    legal: np.ndarray
    usable: np.ndarray  # legal, and approved by the model
    cost: np.ndarray  # of raw rows; infinite where not legal

    @property
    def per_second(self) -> float:
        """People per CPU second."""
        return len(self.answered) / self.cpu


def judge(method: str, asked: Case, people: np.ndarray, rows: Sequence[pd.DataFrame | None], cpu: float) -> Scored:
    """Legality, validity and cost of raw rows, whoever made them."""
    schema, rules = asked.schema, asked.rules[0]
    before = frame(schema, people)
    legal, usable, cost = np.zeros(len(people), bool), np.zeros(len(people), bool), np.full(len(people), np.inf)
    for i, row in enumerate(rows):
        own = before.iloc[[i]].reset_index(drop=True)
        if row is None or rules.violations(own, row):
            continue
        counts = np.array([[count(f, row[f.name].iloc[0]) for f in schema.features]])
        legal[i] = True
        usable[i] = logits64(asked.model, 0, asked.queries[0].encoding, counts)[0] > 0
        cost[i] = rules.cost(own, row)[0]
    return Scored(method, cpu, np.array([row is not None for row in rows]), legal, usable, cost)


def ask_dice(method: str, asked: Case, people: np.ndarray, table: Table) -> Scored:
    """DiCE's answers, one person at a time, library defaults."""
    rows = dice_frame(asked.schema, people)
    with repeatable():
        np.random.seed(0)
        dice = Dice(method, asked, table)
        start = time.process_time()
        found = [dice.answer(rows.iloc[[i]].reset_index(drop=True)) for i in range(len(people))]
        cpu = time.process_time() - start
    raw = [None if row is None else raw_frame(asked.schema, row) for row in found]
    return judge(f"DiCE {method}", asked, people, raw, cpu)


def ask_ours(asked: Case) -> Scored:
    """The default search's answers, everybody at once."""
    with repeatable():
        find_recourse(asked.model, asked.queries, Search(), KAPPA)  # the first call pays for torch's start
        start = time.process_time()
        found = find_recourse(asked.model, asked.queries, Search(), KAPPA)
        cpu = time.process_time() - start
    after = frame(asked.schema, found.after)
    rows = [after.iloc[[i]].reset_index(drop=True) if ok else None for i, ok in enumerate(found.has_recourse)]
    return judge("Search", asked, found.before, rows, cpu)


def compare(gradient: int, random: int, ours: int) -> None:
    """Prints one line a method, then ours against each."""
    with repeatable():
        asked = case("adult", (0,), ours)
    mine, table = ask_ours(asked), plugins.load("datasets", "adult").load()
    able = np.flatnonzero(mine.usable)
    theirs = []
    for method, people in (("gradient", gradient), ("random", random)):
        if people:
            theirs.append(ask_dice(method, asked, asked.queries[0].values[able[:people]], table))
    print(
        "| method | people | people/CPU-s | CPU-s/person | answered | legal of answered | usable | mean cost, usable |"
    )
    print("|---" * 8 + "|")
    for s in [mine, *theirs]:
        shares = [s.answered.mean(), s.legal[s.answered].mean() if s.answered.any() else float("nan"), s.usable.mean()]
        speed = f"{s.per_second:.2f} | {1 / s.per_second:.5f}"
        cells = " | ".join(f"{x:.3f}" for x in [*shares, s.cost[s.usable].mean()])
        print(f"| {s.method} | {len(s.answered)} | {speed} | {cells} |")
    for s in theirs:
        print("\n" + against(mine, s, able[: len(s.usable)]))


def against(mine: Scored, theirs: Scored, people: np.ndarray) -> str:
    """Ours against another method, in words; ``people``: whom both were asked about."""
    faster, both = mine.per_second / theirs.per_second, theirs.usable & mine.usable[people]
    here, there = mine.cost[people][both].mean(), theirs.cost[both].mean()
    words = (
        f"Search against {theirs.method}: {faster:.0f} times as many people per CPU second; "
        f"mean cost {here:.3f} against {there:.3f} ({there / here:.2f} times) on the {both.sum()} people both serve."
    )
    if theirs.method != "DiCE gradient":
        return words
    met = faster >= REQUIRED and here < there
    return f"{words} Required: {REQUIRED} times DiCE gradient at lower mean cost: {'met' if met else 'NOT MET'}."


# ---------------------------------------------------------------------- growth


def slope() -> None:
    """Prints the search's time against people and against models, and the fitted exponents."""
    with repeatable():
        asked = case("adult", (0,), max(PEOPLE))
        values = asked.queries[0].values

        def people(n: int) -> float:
            return _least(lambda: find_recourse(asked.model, [replace(asked.queries[0], values=values[:n])], Search()))

        def models(r: int) -> float:
            queries = [replace(asked.queries[0], values=part) for part in np.split(values[: r * PER_MODEL], r)]
            return _least(lambda: find_recourse(asked.model.take([0] * r), queries, Search()))

        _print_growth("people, R = 1", PEOPLE, people)
        _print_growth(f"models R, {PER_MODEL} people each", MODELS, models)


def _print_growth(what: str, sizes: Sequence[int], seconds: Callable[[int], float]) -> None:
    taken = [seconds(n) for n in sizes]
    exponent = np.polyfit(np.log(sizes), np.log(taken), 1)[0]
    print(f"| {what} | {' | '.join(str(n) for n in sizes)} | exponent |")
    print("|---" * (len(sizes) + 2) + "|")
    print(f"| CPU seconds | {' | '.join(f'{t:.2f}' for t in taken)} | {exponent:.2f} |\n")


def _least(call: Callable[[], Recourse]) -> float:
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def main() -> None:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gradient", type=int, default=20, help="people for DiCE's gradient search")
    parser.add_argument("--random", type=int, default=20, help="people for DiCE's random search")
    parser.add_argument("--ours", type=int, default=2000, help="people for ours")
    parser.add_argument("--slope", action="store_true", help="time against people and models instead")
    given = parser.parse_args()
    one_thread()
    if given.slope:
        slope()
    else:
        compare(given.gradient, given.random, given.ours)


if __name__ == "__main__":
    main()
