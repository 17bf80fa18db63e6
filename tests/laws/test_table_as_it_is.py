"""A table as it comes: encodings, marks, spellings, several favourable cells, and the card that is drafted from it."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import cfq_core
from cfq_core.base.errors import BadCard
from cfq_core.cli import cli
from cfq_core.datasets.card import parse_card, read_card
from cfq_core.datasets.dialect import Dialect, delimiter_of, encoding_of, number_marks
from cfq_core.datasets.draft import draft

from .cards import LOANS

ROWS = 120
CARD = (
    LOANS
    + """{head}
[[feature]]
name = "income"
kind = "integer"
{income}
[[feature]]
name = "home"
kind = "category"
"""
)


def rows(**changed: list[str]) -> dict[str, list[str]]:
    random = np.random.default_rng(0)
    income = random.integers(1000, 9000, ROWS)
    table = {
        "income": [str(i) for i in income],
        "home": list(random.choice(["rent", "own"], ROWS)),
        "status": ["repaid" if i + random.integers(0, 4000) > 6000 else "failed" for i in income],
    }
    return table | changed


def text(table: dict[str, list[str]], delimiter: str = ",") -> str:
    lines = [delimiter.join(table), *(delimiter.join(cells) for cells in zip(*table.values(), strict=True))]
    return "\n".join(lines)


def read(table: dict[str, list[str]] | bytes, head: str = "", income: str = "", delimiter: str = ","):
    data = table if isinstance(table, bytes) else text(table, delimiter).encode()
    return parse_card(CARD.format(head=head, income=income), data, "loans.toml", "loans.csv")


def euros(i: str) -> str:
    return f"{int(i) // 1000}.{int(i) % 1000:03d} €"


PLAIN = read(rows())


@pytest.mark.parametrize(
    ("head", "data"),
    [
        ('delimiter = ";"', text(rows(), ";").encode()),
        ('delimiter = "\\t"\nencoding = "utf-16"', text(rows(), "\t").encode("utf-16")),
        ('encoding = "cp1252"', text(rows(), ",").encode("cp1252")),
        ("", b"\xef\xbb\xbf" + text(rows()).encode()),
        ("", b"sep=,\r\n" + text(rows()).encode()),
        (
            'delimiter = ";"\ndecimal = ","\nthousands = "."\nstrip = ["€"]',
            text(rows(income=[euros(i) for i in rows()["income"]]), ";").encode(),
        ),
    ],
)
def test_one_table_in_any_dialect_is_one_table(head: str, data: bytes) -> None:
    assert read(data, head).fingerprint() == PLAIN.fingerprint()


def test_what_a_column_writes_by_itself_is_said_under_its_feature() -> None:
    dotted = rows(income=[euros(i).removesuffix(" €") for i in rows()["income"]])
    assert read(dotted, income='thousands = "."').fingerprint() == PLAIN.fingerprint()
    as_number = CARD.format(head="", income="").replace('"integer"', '"number"')
    (warning,) = parse_card(as_number, text(dotted), "loans.toml", "loans.csv").warnings
    assert 'feature "income"' in warning and 'thousands = "."' in warning and "read as" in warning


def test_a_comma_file_read_as_points_says_what_the_card_may_say() -> None:
    with pytest.raises(BadCard, match=r'strip = \["€"\]'):
        read(rows(income=[euros(i) for i in rows()["income"]]))
    with pytest.raises(BadCard, match=r'delimiter = ";" in the card'):
        read(rows(), delimiter=";")


def test_spellings_of_the_outcome_are_refused_until_they_are_named() -> None:
    several = rows(status=[s if s == "failed" or i % 3 else "Repaid." for i, s in enumerate(rows()["status"])])
    with pytest.raises(BadCard, match=r'2 spellings of one word: "repaid" \(\d+\), "Repaid." \(\d+\)') as caught:
        read(several)
    assert "favourable = [" in str(caught.value)
    named = CARD.replace('"repaid"', '["repaid", "Repaid."]').format(head="", income="")
    assert (parse_card(named, text(several), "loans.toml", "loans.csv").outcome == PLAIN.outcome).all()


def test_spellings_of_a_level_are_refused_until_every_level_is_listed() -> None:
    several = rows(home=["Rent" if h == "rent" and i % 2 else h for i, h in enumerate(rows()["home"])])
    with pytest.raises(BadCard, match="2 spellings of one level"):
        read(several)


def test_open_outcomes_are_left_out_and_every_cell_is_told_with_its_side() -> None:
    some = ["pending" if i % 10 == 0 else s for i, s in enumerate(rows()["status"])]
    table = read(rows(status=some), 'ignore = ["pending"]')
    kept = np.arange(ROWS) % 10 != 0
    assert (table.outcome == PLAIN.outcome[kept]).all() and (table.values == PLAIN.values[kept]).all()
    assert "left out" in table.warnings[0] and '"pending" (12)' in table.warnings[0]


@pytest.mark.parametrize(
    ("cells", "favourable"), [(("1", "0"), "1"), (("True", "False"), "true"), (("1.0", "0.0"), "1")]
)
def test_numbers_and_truth_values_name_a_favourable_cell(cells: tuple[str, str], favourable: str) -> None:
    status = [cells[0] if s == "repaid" else cells[1] for s in rows()["status"]]
    card = CARD.replace('"repaid"', favourable).format(head="", income="")
    assert (parse_card(card, text(rows(status=status)), "loans.toml", "loans.csv").outcome == PLAIN.outcome).all()


def test_missing_cells_of_all_columns_are_told_in_one_go() -> None:
    income = [i if k % 7 else "" for k, i in enumerate(rows()["income"])]
    home = [h if k % 5 else "" for k, h in enumerate(rows()["home"])]
    with pytest.raises(BadCard, match=r'18 in this column \(feature "home" 24\)'):
        read(rows(income=income, home=home))


def test_a_column_that_gives_the_outcome_away_is_warned_of() -> None:
    told = read(rows(home=["own" if s == "repaid" else "rent" for s in rows()["status"]])).warnings
    assert any('feature "home"' in w and "AUC 1.000" in w for w in told)


def test_an_identifier_is_no_category() -> None:
    with pytest.raises(BadCard, match="an identifier"):
        read(rows(home=[f"h{i}" for i in range(ROWS)]))


# ---------------------------------------------------------------------- drafts
@pytest.mark.parametrize("name", ["rownames", "Row Number", "id", "customer_id", "Nr", "Unnamed: 0"])
@pytest.mark.parametrize("step", [1, 3])
def test_a_number_of_rows_is_no_feature(name: str, step: int) -> None:
    """Nobody is told to change the number of their row."""
    rows = [f"{7 + step * k},{k % 5},{'yes' if k % 3 else 'no'}" for k in range(100)]
    found = draft("\n".join([f"{name},x,paid", *rows]).encode(), "a.csv", "paid", ["yes"])
    assert found.left_out == (name,) and 'name = "x"' in found.card


def test_a_column_of_many_numbers_is_drafted_in_linear_time() -> None:
    """Every row another number: a list of words was once searched for each of them."""
    took = []
    for count in (20_000, 80_000):
        rows = "\n".join(f"{k * 7919 % 1_000_003 / 100},{'yes' if k % 3 else 'no'}" for k in range(count))
        at = time.process_time()
        draft(f"income,paid\n{rows}".encode(), "a.csv", "paid", ["yes"])
        took.append(time.process_time() - at)
    assert took[1] < 9 * took[0], took


def test_a_draft_of_a_european_file_reads_as_the_plain_table(tmp_path: Path) -> None:
    table = rows(income=[euros(i) for i in rows()["income"]]) | {"share": [f"0,{10 + i % 80}" for i in range(ROWS)]}
    (tmp_path / "loans.csv").write_bytes(text(table, ";").encode("cp1252"))
    command = ["draft", str(tmp_path / "loans.csv"), "--target", "status", "--favourable", "repaid",
               "-o", str(tmp_path / "loans.toml")]  # fmt: skip
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    card = tmp_path / "loans.toml"
    told = CliRunner().invoke(cli, ["card", str(card)])
    assert re.search(r"questions of the draft still open: (\d+);", told.output)
    card.write_text(re.sub(r"^#.*\n", "", card.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")
    assert "still open" not in CliRunner().invoke(cli, ["card", str(card)]).output
    found = read_card(card)
    income = [f.name for f in found.schema.features].index("income")
    assert (found.values[:, income] == PLAIN.values[:, 0]).all() and (found.outcome == PLAIN.outcome).all()


def test_a_draft_asks_about_outcome_and_moves_and_takes_protected_columns_as_fixed() -> None:
    table = rows() | {"Geschlecht": ["m", "w"] * (ROWS // 2), "customer_id": [str(10_000 + i) for i in range(ROWS)],
                      "start": ["2024-01-02", "2024-03-04"] * (ROWS // 2), "same": ["x"] * ROWS}  # fmt: skip
    found = draft(text(table).encode(), "loans.csv", "status")
    features = {f["name"]: f for f in tomllib.loads(found.card)["feature"]}
    assert set(features) == {"income", "home", "Geschlecht", "start"} and features["Geschlecht"]["protected"] is True
    assert features["start"] == {"name": "start", "kind": "date", "immutable": True}
    asked = "\n".join(found.questions)
    for words in (
        "favourable outcome",
        "income: can a person change it",
        "customer_id is left out",
        "dates",
        "the same",
    ):
        assert words in asked
    assert all(line in found.card for line in (f"# {q}" for q in found.questions))


@pytest.mark.parametrize(
    "name",
    ["Sex", "ApplicantSex", "coApplicantRace", "client.age", "AGE", "customerAge", "age2", "HHAge", "Nationalité",
     "country of birth", "geschlecht_kunde", "SeniorCitizen"],
)  # fmt: skip
def test_protected_columns_are_known_however_names_are_joined(name: str) -> None:
    found = draft(text(rows() | {name: ["a", "b"] * (ROWS // 2)}).encode(), "loans.csv", "status", ["repaid"])
    assert {f["name"]: f for f in tomllib.loads(found.card)["feature"]}[name]["protected"] is True
    assert f"{name}: taken as protected by its name; is it?" in found.questions


@pytest.mark.parametrize("name", ["Agent", "Average", "Package", "Terrace", "Stage", "Mortgage", "Trace"])
def test_names_that_only_hold_such_letters_are_not_protected(name: str) -> None:
    found = draft(text(rows() | {name: ["a", "b"] * (ROWS // 2)}).encode(), "loans.csv", "status", ["repaid"])
    assert "protected" not in {f["name"]: f for f in tomllib.loads(found.card)["feature"]}[name]


def test_a_draft_reads_as_it_stands_whatever_is_missing_rare_or_computed() -> None:
    random = np.random.default_rng(1)
    some = random.random(ROWS) < 0.2
    table = rows() | {
        "row": [str(k) for k in range(7, 7 + ROWS)],
        "rate": ["none" if gone else f"{value:.12g}" for gone, value in zip(some, random.random(ROWS), strict=True)],
        "job": [f"job {k}" if k % 2 else "clerk" for k in range(ROWS)],
        "part": ["test" if k % 3 == 0 else "train" for k in range(ROWS)],
        "opened": [f"{1 + k % 12:02d}/{1 + k % 9:02d}/2021" for k in range(ROWS)],
    }
    found = draft(text(table).encode(), "loans.csv", "status", ["repaid"])
    card = tomllib.loads(found.card)
    keys = {f.pop("name"): f for f in card["feature"]}
    assert not found.problems and card["split"] == "part" and card["missing"] == ["none"]
    assert keys["rate"] == {"kind": "number", "step": 1e-4, "round": True, "missing": "indicator"}
    assert keys["job"] == {"kind": "category", "other_below": 30} and "row" not in keys
    assert keys["opened"] == {"kind": "date", "format": "%d/%m/%Y", "immutable": True}
    asked = " ".join(found.questions)
    for part in ("row is left out", '"%d/%m/%Y" or "%m/%d/%Y"; which is it', "latest there is", "under 30 rows"):
        assert part in asked
    read_ = parse_card(found.card, text(table), "loans.toml", "loans.csv")
    assert len(read_) == ROWS and read_.part is not None


@pytest.mark.parametrize(
    "lowest_first",
    [
        ["Low", "Medium", "Very High"],
        ["Below_College", "College", "Bachelor", "Master", "Doctor"],
        ["never", "sometimes", "often"],
        ["< 1 year", "1 year", "2 years", "10+ years"],
        ["up to $1,000", "$1,000 - 5,000", "over $5,000"],
        ["(0, 10]", "(10, 100]", "(100, 1000]"],
        ["18 to 25", "26 to 35", "65 or more"],
        ["none", "under 1000", "1000 to 5000", "over 5000"],
    ],
)
def test_levels_with_an_order_are_proposed_as_ordered_and_read_so(lowest_first: list[str]) -> None:
    cells = [lowest_first[-1 - i % len(lowest_first)] for i in range(ROWS)]
    some = [("" if i % 11 == 0 else c) for i, c in enumerate(cells)]
    table = rows() | {"how much": cells, "with gaps": some}
    found = draft(text(table, ";").encode(), "loans.csv", "status", ["repaid"])
    keys = {f.pop("name"): f for f in tomllib.loads(found.card)["feature"]}
    assert keys["how much"] == {"kind": "ordinal", "levels": lowest_first}
    assert keys["with gaps"] == {"kind": "ordinal", "levels": lowest_first, "missing": "indicator"}
    assert "how much: taken as ordered, lowest first: " in "\n".join(found.questions)
    read_ = parse_card(found.card, text(table, ";"), "loans.toml", "loans.csv")
    at = [f.name for f in read_.schema.features].index("how much")
    assert [lowest_first[k] for k in read_.values[:, at]] == cells


@pytest.mark.parametrize(
    "words",
    [
        ["A11", "A12", "A13"], ["red", "green", "blue"], ["1 white", "2 black", "3 asian"], ["3A", "3B", "4C"],
        ["low", "high", "purple"], ["other", "1 car", "2 cars"], ["5 km", "6 miles", "7 days"], ["yes", "no", "maybe"],
    ],
)  # fmt: skip
def test_words_without_an_order_stay_a_category(words: list[str]) -> None:
    table = rows() | {"what": [words[i % len(words)] for i in range(ROWS)]}
    found = draft(text(table).encode(), "loans.csv", "status", ["repaid"])
    assert {"name": "what", "kind": "category"} in tomllib.loads(found.card)["feature"]


def test_a_word_that_is_missing_elsewhere_has_no_place_in_an_order() -> None:
    levels = ["none", "low", "high"]
    rate = [("none", "3", "4")[i % 3] for i in range(ROWS)]
    table = rows() | {"debt": [levels[i % 3] for i in range(ROWS)], "rate": rate}
    found = draft(text(table).encode(), "loans.csv", "status", ["repaid"])
    keys = {f.pop("name"): f for f in tomllib.loads(found.card)["feature"]}
    assert keys["debt"] == {"kind": "ordinal", "levels": ["low", "high"], "missing": "indicator"}
    assert len(parse_card(found.card, text(table), "loans.toml", "loans.csv")) == ROWS


def test_a_data_frame_says_the_order_of_its_categories() -> None:
    order = ["sprout", "shrub", "tree"]
    frame = pd.DataFrame(rows())
    frame["plant"] = pd.Categorical([order[i % 3] for i in range(ROWS)], order, ordered=True)
    found = cfq_core.draft(frame, "status", "repaid").as_dict()
    assert {"name": "plant", "kind": "ordinal", "levels": order} in found["feature"]


def test_levels_that_only_test_rows_have_are_told() -> None:
    part = ["test" if k % 3 == 0 else "train" for k in range(ROWS)]
    home = ["boat" if k % 30 == 0 else h for k, h in enumerate(rows()["home"])]
    told = " ".join(read(rows(home=home, part=part), 'split = "part"').warnings)
    assert 'feature "home": "boat" (4) only test rows have' in told


def test_all_problems_of_a_table_are_told_at_once() -> None:
    now = rows()
    table = rows(
        income=["" if i % 4 == 0 else v for i, v in enumerate(now["income"])],
        home=["Rent" if i % 9 == 0 else v for i, v in enumerate(now["home"])],
        status=["Repaid." if i % 5 == 0 else v for i, v in enumerate(now["status"])],
    )
    found = draft(text(table).encode(), "loans.csv", "status", ["repaid"])
    assert len(found.problems) == 2 and all("spellings" in p for p in found.problems)
    assert any('income: 30 of 120 cells are missing ("" (30)); they become' in q for q in found.questions)


@given(st.binary(max_size=400))
def test_anything_at_all_is_drafted_or_refused_in_one_line(data: bytes) -> None:
    try:
        draft(data + text(rows()).encode(), "loans.csv", "status", ["repaid"])
    except BadCard as problem:
        assert "\n" not in str(problem)


@given(st.integers(0, 10**9), st.sampled_from([("", "."), (".", ","), (",", "."), ("'", "."), (" ", ",")]))
def test_a_number_survives_any_way_to_write_it(number: int, marks: tuple[str, str]) -> None:
    thousands, decimal = marks
    cell = f"{number / 100:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)
    plain = Dialect(decimal=decimal, thousands=thousands).number(cell)
    assert float(plain) == number / 100


def test_where_two_readings_give_other_numbers_the_draft_is_not_sure() -> None:
    assert not number_marks(["1.234", "2.345"]).sure
    assert number_marks(["1.234", "2.34"]).sure and number_marks(["1.234,50 €"]).sure
    assert number_marks(["1.234", "2.345"], decimal=",").dialect.thousands == "."
    assert number_marks(["a"]) is None
    assert encoding_of("grün".encode("cp1252")) == "cp1252" and delimiter_of("a;b\n1,5;2\n") == ";"
