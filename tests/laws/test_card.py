"""A card and its CSV become an exact table, or one line that says what to mend."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.errors import BadCard
from cfq_core.datasets.card import CARD_FIELDS, FEATURE_FIELDS, parse_card, read_card
from cfq_core.models.contract import Contract
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Feature, Table

MORE = int(os.environ.get("CFQ_FUZZ", "1"))  # times as many examples

CARDS = Path(__file__).parents[2] / "data" / "cards"

CARD = """\
name = "lending"
title = "Lending"
csv = "lending.csv"
target = "approved"
favourable = "yes"

[[feature]]
name = "income"
kind = "integer"
move = "up"

[[feature]]
name = "rate"
kind = "number"
unit = "%"

[[feature]]
name = "savings"
kind = "ordinal"
levels = ["low", "medium", "high"]

[[feature]]
name = "housing"
kind = "category"

[[feature]]
name = "age"
kind = "integer"
protected = true
bands = [30, 50]
"""
INCOME = '[[feature]]\nname = "income"\nkind = "integer"\nmove = "up"\n'
HEADER = "income,rate,savings,housing,age,approved"


def _rows() -> list[str]:
    savings, housing = ("low", "medium", "high"), ("own", "rent", "free")
    return [
        f"{1000 + 7 * i},{i % 9}.{i % 4}5,{savings[i % 3]},{housing[i % 3]},{20 + i},{('no', 'yes')[i % 2]}"
        for i in range(60)
    ]


CSV = "\n".join([HEADER, *_rows()]) + "\n"


@dataclass(frozen=True)
class Mistake:
    """An edit of the card and of the CSV, and what the one line must contain."""

    name: str
    says: tuple[str, ...]
    card: tuple[str, str] = ("", "")  # old, new
    csv: tuple[str, str] = ("", "")

    def texts(self) -> tuple[str, str]:
        assert self.card[0] in CARD and self.csv[0] in CSV, "the edit no longer applies"
        return _edited(CARD, *self.card), _edited(CSV, *self.csv)


def _edited(text: str, old: str, new: str) -> str:
    return text.replace(old, new, 1) if old else text + new


def in_card(name: str, old: str, new: str, *says: str) -> Mistake:
    return Mistake(name, ("lending.toml: ", *says), card=(old, new))


def in_csv(name: str, old: str, new: str, *says: str) -> Mistake:
    return Mistake(name, ("lending.csv: ", *says), csv=(old, new))


def _no_feature_moves() -> str:
    return (
        CARD[CARD.index("[[feature]]") :].replace('kind = "', 'immutable = true\nkind = "').replace('move = "up"\n', "")
    )


ROW_3 = _rows()[1]
FEATURES = CARD[CARD.index("[[feature]]") :]
MONEY = 'feature "income"'

IN_CARD = [
    in_card("broken TOML", 'title = "Lending"', 'title = "Lending', "not valid TOML", "line 2"),
    in_card("TOML key twice", 'title = "Lending"', 'name = "x"', "not valid TOML", "line 2"),
    in_card("lists nested without end", 'csv = "lending.csv"', "csv = " + "[" * 5000, "nested too deeply"),
    in_card("integer of thousands of digits", 'move = "up"', "low = " + "9" * 5000, "thousands of digits"),
    in_card("integer beyond a float", 'move = "up"', "low = 0x" + "f" * 5000, MONEY, "low", "finite number"),
    in_card("unknown key of the card", 'title = "Lending"', 'titel = "Lending"', 'unknown key "titel"',
        "title", 'did you mean "title"?'),
    in_card("[[features]]", FEATURES, FEATURES.replace("[[feature]]", "[[features]]"), '"features"',
        'did you mean "feature"?'),
    in_card("[feature] with one bracket", FEATURES, '[feature]\nname = "income"\nkind = "integer"\n',
        "[[feature]]", "two brackets"),
    in_card("no feature at all", FEATURES, "", "no features", "[[feature]]"),
    in_card("feature = 3", FEATURES, "feature = 3", "no features", "[[feature]]"),
    in_card("missing key of the card", 'target = "approved"\n', "", 'no key "target"',
        "name, title, csv, target, favourable"),
    in_card("empty key of the card", 'target = "approved"', 'target = " "', "target is empty"),
    in_card("favourable is a number that no cell is", 'favourable = "yes"', "favourable = 1", 'favourable = "1"',
        "one of no, yes"),
    in_card("favourable is a table", 'favourable = "yes"', "favourable = {a = 1}", "favourable", "text in quotes"),
    in_card("missing is no list", 'title = "Lending"', 'title = "L"\nmissing = "NA"', 'missing = "NA"',
        "list in [ ]"),
    in_card("name that is a path", 'name = "lending"', 'name = "../lending"', 'name = "../lending"',
        "letters, digits"),
    in_card("unknown key of a feature", 'move = "up"', 'mvoe = "up"', MONEY, 'unknown key "mvoe"',
        'did you mean "move"?'),
    in_card("key of the card below a feature", 'move = "up"', 'note = "x"', MONEY, 'key "note"',
        "above the first [[feature]]"),
    in_card("feature without a kind", 'kind = "integer"\nmove', "move", MONEY, 'no key "kind"', "name, kind"),
    in_card("feature without a name", 'name = "income"\n', "", 'feature "#1"', 'no key "name"'),
    in_card("feature name that is a number", 'name = "income"', "name = 3", 'feature "#1"', "name = 3",
        "text in quotes"),
    in_card("control character in a name", '"income"', '"in\\u0007come"', "lending.toml: feature",
        "control character"),
    in_card("line separator in a label", 'move = "up"', 'label = "a\\u2028b"', MONEY, "label",
        "control character"),
    in_card("name of 201 characters", '"income"', f'"{"x" * 201}"', "201 characters", "200"),
    in_card("unknown kind", 'kind = "ordinal"', 'kind = "ordnal"', 'feature "savings"', 'kind = "ordnal"',
        "number, integer, ordinal, category", 'did you mean "ordinal"?'),
    in_card("unknown move", 'move = "up"', 'move = "upp"',
        'feature "income": move = "upp"; one of any, up, down, fixed (did you mean "up"?)'),
    in_card("move without quotes", 'move = "up"', "move = true", MONEY,
        "move = true; one of any, up, down, fixed"),
    in_card("low in quotes", 'move = "up"', 'low = "a"', MONEY, 'low = "a"', "a number"),
    in_card("low = true", 'move = "up"', "low = true", MONEY, "low = true", "must be a number"),
    in_card("low = nan", 'move = "up"', "low = nan", MONEY, "low = NaN", "finite number"),
    in_card("high = inf", 'move = "up"', "high = inf", MONEY, "high = Infinity", "finite number"),
    in_card("low beyond the grid", 'move = "up"', "low = 1e15", MONEY, "low = 1e+15", "1e+12 steps"),
    in_card("easy in quotes", 'move = "up"', 'easy = "yes"', MONEY, 'easy = "yes"', "true or false"),
    in_card("easy = 1", 'move = "up"', "easy = 1", MONEY, "easy = 1", "true or false"),
    in_card("levels of numbers", 'levels = ["low", "medium", "high"]', "levels = [1, 2]", 'feature "savings"',
        "entry 1 of levels = 1", "text in quotes"),
    in_card("low above high", 'move = "up"', "low = 9\nhigh = 3", MONEY, "low = 9", "high = 3"),
    in_card("no grid point in bounds", 'move = "up"', "low = 1.2\nhigh = 1.8", MONEY, "low = 1.2, high = 1.8",
        "step = 1"),
    in_card("weight 0", 'move = "up"', "weight = 0", MONEY, "weight = 0", "over 0"),
    in_card("step 0", 'unit = "%"', "step = 0", 'feature "rate"', "step = 0", "over 0"),
    in_card("step below 0", 'unit = "%"', "step = -1", 'feature "rate"', "step = -1", "over 0"),
    in_card("step of an integer", 'move = "up"', "step = 2", MONEY, "step = 2", "must be 1"),
    in_card("bands that fall", "bands = [30, 50]", "bands = [50, 30]", 'feature "age"',
        "bands = [50.0, 30.0]", "increase"),
    in_card("bands of an ordinal", "levels = [", "bands = [1]\nlevels = [", 'feature "savings"',
        "bands = [1]", "number or integer"),
    in_card("bands of nobody's group", 'move = "up"', "bands = [1]", MONEY, "bands", "protected"),
    in_card("log of a category", 'kind = "category"', 'kind = "category"\nlog = true', 'feature "housing"',
        "log = true", "number or integer"),
    in_card("log with low below 0", 'move = "up"', "log = true\nlow = -1", MONEY, "low = -1", "0 or more"),
    in_card("never of an ordinal", "levels = [", 'never = ["low"]\nlevels = [', 'feature "savings"', "never",
        "category"),
    in_card("never an unknown level", 'kind = "category"', 'kind = "category"\nnever = ["rant"]',
        'feature "housing"', 'never = "rant"', "free, own, rent", 'did you mean "rent"?'),
    in_card("never anything", 'kind = "category"', 'kind = "category"\nnever = ["rent", "own", "free"]',
        'feature "housing"', "never", "leave a level"),
    in_card("levels of a number", 'move = "up"', 'levels = ["a"]', MONEY, 'levels = ["a"]',
        "ordinal or category"),
    in_card("ordinal without levels", 'levels = ["low", "medium", "high"]', "", 'feature "savings"',
        "levels = [...]"),
    in_card("a level twice", '"medium", "high"', '"medium", "low"', 'feature "savings"', '"low" 2 times'),
    in_card("empty level", '"medium", "high"', '"medium", ""', 'feature "savings"', "is empty"),
    in_card("level that is a formula", '"medium", "high"', '"medium", "=1+1"', 'feature "savings"', '"=1+1"',
        "formula"),
    in_card("201 levels", 'kind = "category"', f'kind = "category"\nlevels = {[str(i) for i in range(201)]}',
        'feature "housing"', "201", "200"),
    in_card("up without an order", 'kind = "category"', 'kind = "category"\nmove = "up"', 'feature "housing"',
        'move = "up"', "levels = [...]"),
    in_card("protected and movable", "protected = true", 'protected = true\nmove = "up"', 'feature "age"',
        'move = "up"', "fixed", "protected = true"),
    in_card("immutable and movable", 'move = "up"', 'move = "up"\nimmutable = true', MONEY, 'move = "up"',
        "fixed", "immutable = true"),
    in_card("nothing is actionable", FEATURES, _no_feature_moves(), "no feature is actionable",
        "any, up or down"),
    in_card("feature described twice", INCOME, INCOME + INCOME, MONEY, "2 times"),
    in_card("feature is the target", 'name = "income"', 'name = "approved"', 'feature "approved"', "target"),
    in_card("feature is no column", 'name = "income"', 'name = "incom"', 'feature "incom"', "lending.csv",
        "rate", 'did you mean "income"?'),
    in_card("target is no column", 'target = "approved"', 'target = "aproved"', 'target "aproved"',
        "lending.csv", 'did you mean "approved"?'),
    in_card("favourable is never seen", 'favourable = "yes"', 'favourable = "yess"', 'target "approved"',
        'favourable = "yess"', "no, yes", 'did you mean "yes"?'),
]  # fmt: skip

IN_CSV = [
    in_csv("empty file", CSV, "\n  \n", "is empty", "name the columns"),
    in_csv("header only", CSV, HEADER, "has 0 rows", "at least 50"),
    in_csv("NUL byte", ROW_3, ROW_3 + "\0", "line 3", "NUL"),
    in_csv("semicolons", CSV, CSV.replace(",", ";"), "one column", "semicolons", "commas"),
    in_csv("quoted names and semicolons", CSV, CSV.replace(",", '";"').replace("\n", '"\n"'), "one column",
        "semicolons"),
    in_csv("tabs", CSV, CSV.replace(",", "\t"), "one column", "tabs", "commas"),
    in_csv("bars", CSV, CSV.replace(",", "|"), "one column", "bars", "commas"),
    in_csv("one column", CSV, "income\n1\n2\n", "one column", "no delimiter"),
    in_csv("column twice", HEADER, HEADER.replace("housing", "rate"), 'column "rate"', "2 times"),
    in_csv("ignored column twice", HEADER + "\n", HEADER + ",x,x\n", 'column "x"', "2 times"),
    in_csv("row too short", ROW_3, ROW_3.rpartition(",")[0], "row 3 has 5 cells", "6"),
    in_csv("row too long", ROW_3, ROW_3 + ",", "row 3 has 7 cells", "6"),
    in_csv("empty row", ROW_3, "\n" + ROW_3, "row 3 is empty"),
    in_csv("quote left open", ROW_3, '"' + ROW_3, "row 3", "double quotes"),
    in_csv("49 rows", "\n".join(_rows()[49:]), "", "has 49 rows", "at least 50"),
    in_csv("missing number", ROW_3, ROW_3.replace("1007", " "), MONEY, "row 3", '""', "missing value",
        "1 in this column"),
    in_csv("missing target", ROW_3, ROW_3.replace("yes", ""), 'target "approved"', "row 3", "missing value"),
    in_csv("word for a number", ROW_3, ROW_3.replace("1007", "abc"), MONEY, "row 3", '"abc"', "finite number",
        "12.5"),
    in_csv("thousands separator", ROW_3, ROW_3.replace("1007", '"1,007"'), MONEY, "row 3", "1,007",
        "finite number"),
    in_csv("underscore in a number", ROW_3, ROW_3.replace("1007", "1_007"), MONEY, "row 3", '"1_007"',
        "finite number"),
    in_csv("digits of another script", ROW_3, ROW_3.replace("1007", "١٠"), MONEY, "row 3", "finite number"),
    in_csv("nan", ROW_3, ROW_3.replace("1007", "nan"), MONEY, "row 3", '"nan"', "finite number"),
    in_csv("inf", ROW_3, ROW_3.replace("1007", "-inf"), MONEY, "row 3", '"-inf"', "finite number"),
    in_csv("beyond a float", ROW_3, ROW_3.replace("1007", "1e999"), MONEY, "row 3", '"1e999"',
        "finite number"),
    in_csv("beyond the grid", ROW_3, ROW_3.replace("1007", "1e15"), MONEY, "row 3", '"1e15"', "1e+12 steps"),
    in_csv("a cell of 100,000 digits and a letter", ROW_3, ROW_3.replace("1007", "1" * 100_000 + "x"), MONEY,
        "row 3", "finite number"),
    in_csv("a cell longer than the reader takes", ROW_3, ROW_3.replace("1007", "1" * 200_000), "row 3",
        "field limit"),
    in_csv("fraction in an integer", ROW_3, ROW_3.replace("1007", "1007.5"), MONEY, "row 3", '"1007.5"',
        "whole number"),
    in_csv("finer than every default step", ROW_3, ROW_3.replace("1.15", "1.12345678"), 'feature "rate"',
        "row 3", '"1.12345678"', "step = 1e-06"),
    in_csv("unseen level", ROW_3, ROW_3.replace("medium", "medum"), 'feature "savings"', "row 3", '"medum"',
        "low, medium, high", 'did you mean "medium"?'),
    in_csv("formula as a level", ROW_3, ROW_3.replace("rent", "=SUM(A1)"), 'feature "housing"', "row 3",
        '"=SUM(A1)"', "formula"),
    in_csv("formula with @", ROW_3, ROW_3.replace("rent", "@x"), 'feature "housing"', "row 3", '"@x"',
        "formula"),
    in_csv("formula with +", ROW_3, ROW_3.replace("rent", "+cmd"), 'feature "housing"', "row 3", '"+cmd"',
        "formula"),
    in_csv("line break in a level", ROW_3, ROW_3.replace("rent", '"re\nnt"'), 'feature "housing"', "row 3",
        "control character"),
    in_csv("level of 201 characters", ROW_3, ROW_3.replace("rent", "x" * 201), 'feature "housing"', "row 3",
        "201 characters", "200"),
    in_csv("formula in the target", ROW_3, ROW_3.replace("yes", "=A1"), 'target "approved"', "row 3", '"=A1"',
        "formula"),
    in_csv("one class only", CSV, CSV.replace(",no", ",yes"), 'target "approved"', '"yes"', "both outcomes"),
    in_csv("too few favourable", CSV, CSV.replace(",yes", ",no", 26), 'target "approved"', "4 rows are",
        '"yes"', "at least 5"),
    in_csv("too few unfavourable", CSV, CSV.replace(",no", ",yes", 26), 'target "approved"', "4 rows are not",
        '"yes"', "at least 5"),
    in_csv("constant category", CSV, CSV.replace("rent", "own").replace("free", "own"), 'feature "housing"',
        '"own"', "constant"),
    in_csv("201 levels", CSV,
        "\n".join([HEADER, *(r.replace("own", f"h{i}") for i, r in enumerate(_rows() * 11))]),
        'feature "housing"', "222 levels", "200"),
]  # fmt: skip

IN_BOTH = [
    Mistake("off the given step",
        ("lending.csv: ", 'feature "rate"', "row 2", '"0.05"', "multiple of step = 0.1"),
        card=('unit = "%"', "step = 0.1")),
    Mistake("below 0 with log", ("lending.csv: ", MONEY, "row 3", '"-1007"', "0 or more"),
        card=('move = "up"', "log = true"), csv=(ROW_3, "-" + ROW_3)),
    Mistake("the card's word for missing",
        ("lending.csv: ", 'feature "housing"', "row 4", '"free"', "missing value, 20 in"),
        card=('title = "Lending"', 'title = "L"\nmissing = ["free"]')),
    Mistake("constant number", ("lending.csv: ", 'feature "rate"', "constant"),
        csv=(CSV, "\n".join([HEADER, *(f"{r[:5]}{('1', '1.0')[i % 2]}{r[9:]}" for i, r in enumerate(_rows()))]))),
]  # fmt: skip

MISTAKES = [*IN_CARD, *IN_CSV, *IN_BOTH]


def _parse(card: str, csv: bytes | str) -> Table:
    return parse_card(card, csv, "lending.toml", "lending.csv")


def _is_one_line(error: BadCard) -> bool:
    return len(str(error).splitlines()) == 1 and error.line().startswith("BadCard: lending.") and error.exit_code == 2


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_a_mistake_is_told_in_one_line_that_says_where_and_what_is_allowed(mistake: Mistake) -> None:
    with pytest.raises(BadCard) as caught:
        _parse(*mistake.texts())
    assert _is_one_line(caught.value)
    assert str(caught.value).startswith(mistake.says[0])
    for words in mistake.says[1:]:
        assert words in str(caught.value)


def test_the_names_of_the_mistakes_differ() -> None:
    names = [(m.says[0], m.name) for m in MISTAKES]
    assert len(set(names)) == len(names)


def test_a_long_list_shows_eight_names_and_counts_the_rest() -> None:
    many = "\n".join([HEADER, *(f"{row.rpartition(',')[0]},t{i:02d}" for i, row in enumerate(_rows()))])
    with pytest.raises(BadCard, match=r"one of t00, .*, t07 and 52 more"):
        _parse(CARD, many)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (CSV.encode("utf-16"), "UTF-8"),
        (CSV.replace("rent", "für").encode("latin-1"), "0xfc"),
        (b"\x89PNG\xff\xfe", "UTF-8"),
    ],
)
def test_bytes_that_are_no_utf8_text_are_refused_with_their_line(data: bytes, says: str) -> None:
    with pytest.raises(BadCard, match=r"lending.csv: line \d+: not UTF-8") as caught:
        _parse(CARD, data)
    assert says in str(caught.value) and _is_one_line(caught.value)


def test_a_broken_workbook_is_refused_in_one_line() -> None:
    with pytest.raises(BadCard, match=r"lending\.csv: cannot be unpacked") as caught:
        _parse(CARD, b"PK\x03\x04\xff\xfe")
    assert _is_one_line(caught.value)


def test_a_number_cell_outside_low_and_high_is_accepted() -> None:
    assert len(_parse(CARD.replace('move = "up"', "low = 1100\nhigh = 1200"), CSV)) == 60


@pytest.mark.parametrize(
    "data",
    [
        CSV,
        CSV.encode(),
        "\ufeff" + CSV,
        CSV.encode("utf-8-sig"),
        CSV.replace("\n", "\r\n"),
        CSV.replace("\n", "\r"),
        CSV.replace(",", " , "),
        CSV + "\n \n",
    ],
)
def test_the_same_cells_give_the_same_table_however_the_file_was_saved(data: bytes | str) -> None:
    assert _parse("\ufeff" + CARD, data).fingerprint() == _parse(CARD, CSV).fingerprint()


def test_every_cell_comes_back_as_it_stood_in_the_file() -> None:
    table = _parse(CARD, CSV)
    frame = table.frame()
    back = [
        f"{r.income:.0f},{r.rate:.2f},{r.savings},{r.housing},{r.age:.0f},{'yes' if ok else 'no'}"
        for r, ok in zip(frame.itertuples(), table.outcome, strict=True)
    ]
    assert back == _rows()


def test_defaults_are_filled_in_from_the_rows() -> None:
    table = _parse(CARD, CSV)
    assert table.schema["rate"].step == 0.01
    assert table.schema["income"].step == 1.0
    assert table.schema["housing"].levels == ("free", "own", "rent")
    assert table.schema["age"].move == "fixed"
    assert (table.schema.favourable, table.schema.unfavourable) == ("yes", "no")


@pytest.mark.parametrize(("decimals", "step"), [(0, 1.0), (1, 0.1), (3, 0.001), (6, 1e-6)])
def test_the_default_step_is_the_coarsest_power_of_ten_that_holds_every_value(decimals: int, step: float) -> None:
    rng = np.random.default_rng(0)
    rates = [f"{r:.{decimals}f}" for r in rng.uniform(-1000, 1000, 60)]
    csv = "\n".join(
        [HEADER, *(row.replace(row.split(",")[1], rate, 1) for row, rate in zip(_rows(), rates, strict=True))]
    )
    table = _parse(CARD, csv)
    assert table.schema["rate"].step == step
    np.testing.assert_array_equal(table.frame()["rate"], [float(r) for r in rates])


def test_float_noise_of_an_export_is_no_digit() -> None:
    table = _parse(CARD, CSV.replace(",0.05,", ",0.050000000000000003,"))
    assert table.schema["rate"].step == 0.01


def test_a_target_of_more_than_two_values_is_favourable_against_the_rest() -> None:
    table = _parse(CARD, CSV.replace(",no", ",later", 9))
    assert table.outcome.sum() == 30 and table.schema.unfavourable == "not yes"


# ---- files


def _folder(tmp_path: Path, card: str = CARD, csv: str | bytes = CSV) -> Path:
    (tmp_path / "lending.csv").write_bytes(csv if isinstance(csv, bytes) else csv.encode())
    path = tmp_path / "lending.toml"
    path.write_text(card)
    return path


def test_a_file_gives_the_table_of_its_texts(tmp_path: Path) -> None:
    assert read_card(_folder(tmp_path)).fingerprint() == _parse(CARD, CSV).fingerprint()


@pytest.mark.parametrize(
    ("csv", "says"),
    [
        ("lendng.csv", 'did you mean "lending.csv"?'),
        ("sub", "no such file"),
        ("../x.csv", "leaves the card's folder"),
        ("/etc/passwd", "leaves the card's folder"),
        ("sub/../lending.csv", "leaves the card's folder"),
        ("link.csv", "leaves the card's folder"),
        ("loop.csv", "loop.csv"),
        ("none/lending.csv", "cannot be read"),
    ],
)
def test_a_csv_that_is_not_in_the_folder_is_refused(tmp_path: Path, csv: str, says: str) -> None:
    folder = tmp_path / "cards"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "x.csv").write_text(CSV)
    (folder / "link.csv").symlink_to(tmp_path / "x.csv")
    (folder / "loop.csv").symlink_to(folder / "loop.csv")
    path = _folder(folder, CARD.replace('csv = "lending.csv"', f'csv = "{csv}"'))
    with pytest.raises(BadCard) as caught:
        read_card(path)
    assert _is_one_line(caught.value) and says in str(caught.value)


def test_a_card_that_is_not_there_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    _folder(tmp_path)
    with pytest.raises(BadCard, match=r'^lendin.toml: no such file in .* \(did you mean "lending.toml"\?\)$'):
        read_card(tmp_path / "lendin.toml")
    for path in (
        tmp_path,
        tmp_path / "none" / "lending.toml",
        tmp_path / "lending.csv" / "x.toml",
        tmp_path / ("x" * 300),
    ):
        with pytest.raises(BadCard):
            read_card(path)


def test_a_card_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = _folder(tmp_path)
    path.write_bytes(b"name = \xff")
    with pytest.raises(BadCard, match=r"^lending.toml: line 1: not UTF-8 text \(byte 0xff\)"):
        read_card(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = _folder(tmp_path)
    for name, megabytes in (("lending.csv", 201), ("lending.toml", 2)):
        with (tmp_path / name).open("r+b") as file:
            file.truncate(megabytes * 1_000_000)  # sparse: takes no disk
        with pytest.raises(BadCard, match=rf"^lending.toml: .*has {megabytes}.0 MB; at most \d+ MB"):
            read_card(path)


# ---- the cards that ship with the project


@pytest.mark.parametrize("name", ["example", "template"])
def test_a_shipped_card_loads_encodes_exactly_and_has_actions(name: str) -> None:
    table = read_card(CARDS / f"{name}.toml")
    assert len(table) == 400 and 0.3 < table.outcome.mean() < 0.7
    assert "synthetic" in table.schema.note.lower()
    assert [f.name for f in table.schema.protected] == ["age", "gender"]
    encoding = Encoding.fit(table.schema, table.values[:200])
    np.testing.assert_array_equal(encoding.decode(encoding.encode(table.values)), table.values)
    actions = ActionSet.fit(table.schema, table.values[:200])
    assert actions.numbers and actions.switches
    assert table.groups()["age"][0] in ("under 30", "30 to 50", "50 and over")


def test_the_template_explains_every_key() -> None:
    text = (CARDS / "template.toml").read_text()
    keys = set(re.findall(r"^(\w+) = ", text, re.MULTILINE))
    assert keys == {*CARD_FIELDS, *FEATURE_FIELDS, "from", "max_change"} - {"feature", "model", "format"}
    assert set(re.findall(r"^#     (\w+) = ", text, re.MULTILINE)) >= {"derive", "follows", "high", "format"}
    assert set(re.findall(r"^# (\w+) = ", text.split("[model]")[1].split("[[")[0], re.MULTILINE)) == {
        f.name for f in fields(Contract)
    }
    assert tuple(f.name for f in fields(Feature)) == FEATURE_FIELDS


# ---- anything at all

LETTERS = st.sampled_from(
    list("\"=,;[]{}#.-+_\n\r\t \\'")
    + list("0159aeinxy")
    + ["\0", "\x1c", "é", "\u2028", "true", "nan", '"""', "[[feature]]"]
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.lists(LETTERS, max_size=3).map("".join)), max_size=4)


def _mutated(text: str, edits: list[tuple[float, int, str]]) -> str:
    for at, drop, insert in edits:
        start = int(at * len(text))
        text = text[:start] + insert + text[start + drop :]
    return text


@settings(max_examples=150 * MORE, deadline=timedelta(seconds=2), suppress_health_check=[HealthCheck.too_slow])
@given(card=EDITS, csv=EDITS, junk=st.binary(max_size=2), at=st.integers(0, len(CSV)))
def test_any_edit_gives_a_table_or_one_line(card: list, csv: list, junk: bytes, at: int) -> None:
    data = _mutated(CSV, csv).encode()
    try:
        table = _parse(_mutated(CARD, card), data[:at] + junk + data[at:])
    except BadCard as error:
        assert _is_one_line(error)
        return
    encoding = Encoding.fit(table.schema, table.values)
    np.testing.assert_array_equal(encoding.decode(encoding.encode(table.values)), table.values)
    ActionSet.fit(table.schema, table.values)
