"""What is published of tables of any size are the numbers that were measured, and nothing where none were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import results, scale

SIZE = {
    "rows": 1_000_000, "megabytes": 97.1, "seconds": 92.8, "processor_seconds": 18.3, "rows_a_second": 10_771,
    "rows_a_processor_second": 54_685, "peak_megabytes_reads": 697, "peak_megabytes_computes": 562, "load": 8.0,
}  # fmt: skip
SPENT = {"processor_seconds_here": 5.4, "processor_seconds_workers": 20.1}
RUN = {"rows": 1_000_000, "seconds": 50.0, "load": 6.4} | SPENT
COLUMNS = ("pieces", "handing", "counting", "seconds", "times_one")  # of the page on clusters
PARTS = {
    "rows_a_piece": 100_000, "bytes_a_piece": 10_000_000, "pieces_handed_a_second": 10, "processor_seconds_once": 2.0,
    "processor_seconds_workers_a_million_rows": 20.0,
}  # fmt: skip


def test_the_section_tells_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "scale.json"
    assert scale.section(path) == ""
    path.write_text(json.dumps({"csv": {"sizes": [SIZE], "slope": None, "cores": 2}}))
    assert "| 1,000,000 | 97 | 93 | 18 | 10,771 | 54,685 | 697 | 562 | - |" in scale.section(path)
    assert "power" not in scale.section(path) and "worker" not in scale.section(path)
    two = RUN | {"seconds": 40.0, "processor_seconds_workers": 19.2}
    found = {"one": RUN, "two": two, "ratio": 1.25, "ratio_of_loops": 1.31, "cores": 2} | PARTS
    path.write_text(json.dumps({"csv": {"sizes": [SIZE, SIZE], "slope": 0.981, "cores": 2}, "dask": found}))
    told = scale.section(path)
    assert told.startswith("## At the scale of a bank") and "to the power of 0.98" in told
    assert "50 s, two took 40 s, 1.25 times as fast" in told and "1.31 times the processor time" in told


def test_many_workers_are_held_up_by_who_hands_out_the_pieces() -> None:
    few, many = (scale.cluster_of(PARTS, n, 100_000_000) for n in (2, 50))
    assert few["seconds"] == 2 + 500 * 2 and few["times_one"] == pytest.approx(2, abs=0.01)
    assert (many["counting"], many["handing"], many["seconds"]) == (40, 100, 102)
    assert scale.cluster_of(PARTS, 50, 1)["seconds"] == 4


def test_the_page_on_clusters_tells_the_arithmetic_of_the_stored_numbers() -> None:
    found = json.loads(scale.OUT.read_text())["dask"]
    page = (Path(results.__file__).parents[1] / "docs" / "pages" / "how-to" / "cluster.md").read_text()
    for rows in (10**7, 10**8, 10**9):
        of = scale.cluster_of(found, 50, rows)
        cells = [f"{n:,.0f}" for n in (rows, *(of[k] for k in COLUMNS))]
        assert f"| {' | '.join(cells)} |" in page
    assert f"{found['pieces_handed_a_second']} pieces a second" in page


def test_it_stands_among_the_results() -> None:
    assert "scale" in results.PROGRAMS and callable(scale.section)
