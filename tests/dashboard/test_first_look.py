"""The first look: its words and icons are the stored numbers, and a link opens exactly the people it speaks of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.base import plugins
from cfq_core.report import bench, by_group, escape, first_look, fmt, names, picture, sentences
from cfq_core.report.frames import Stored
from cfq_core.study.safe import AT_MOST
from dashboard.lib import chart, front_door, startup, targets

Open = Callable[..., AppTest]


def looked(study: Stored, matched: bool = False) -> tuple[dict[str, Any], str]:
    dataset = study.runs.dataset.iloc[0]
    return first_look.of(study, dataset, "ptq", first_look.Place(study.id, dataset, matched, 0)), dataset


@pytest.mark.parametrize("matched", [False, True])
def test_every_word_is_the_stored_number(study: Stored, matched: bool) -> None:
    given, dataset = looked(study, matched)
    assert [look["bits"] for look in given["looks"]] == [f"{b:g}" for b in sorted(set(study.runs.budget))]
    for look in given["looks"]:
        line = fmt.line_of(study.lines, dataset, "ptq", float(look["bits"]))
        share = line["mean"]["vd_matched" if matched else "vd"]
        assert look["mine"]["icons"] == round(100 * share)
        assert f"at {look['bits']} bits {first_look.failing(share)} of 100 promised actions fail" in look["line"]
        assert look["line"].startswith("No:") == (share > AT_MOST)
        for side in filter(None, (look["mine"], look["best"])):
            assert "approve" in side["approvals"], "the approval shift stands beside every claim"
            assert "seed" in side["interval"] and side["code"] in set(study.runs.method)
        best = fmt.most_faithful(study.lines, dataset, float(look["bits"]))
        assert best is None or look["best"] is None or look["best"]["code"] == best


def test_safe_bits_stand_beside_every_method(study: Stored) -> None:
    given, dataset = looked(study)
    answers = {a.method: a.answer for a in study.safe(dataset, AT_MOST, 0.95)}
    for row in given["table"]:
        answer = answers[row["code"]]
        assert row["least"] == (f"{answer.budget:g} bits" if answer else "none of these")


def test_a_link_opens_exactly_these_people(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    sel = open_page("answer", budget="2").session_state["_selection"]
    place = first_look.Place(sel.study.id, sel.dataset, False, sel.seed)
    look = first_look.of(sel.study, sel.dataset, "ptq", place)["looks"][0]
    everybody = sel.study.pooled(sel.dataset, "ptq", 2.0)
    for link, of in [(look["mine"]["link"], everybody), *((g["link"], None) for g in look["groups"][:1])]:
        query = dict(parse_qsl(link.partition("?")[2]))
        if of is None:
            ((column, level),) = ((k[3:], v) for k, v in query.items() if k.startswith("in-"))
            of = everybody[everybody[f"group:{column}"] == level]
        at = open_page("person", **query)
        assert not at.exception
        broken = int((of.has_recourse & ~of.holds).sum())
        assert any(f"Shown: {broken} of {len(everybody)} refused people" in m.value for m in at.markdown)
        assert any(len(d.value) == broken and "promise" in d.value for d in at.dataframe)


def test_worst_group_is_one_number_on_answer_and_groups(study: Stored) -> None:
    first = study.runs.iloc[0]
    about = (first.dataset, first.method, first.budget)
    worst = by_group.highest(study, *about, "vd")
    rows = picture.draw("groups", study, **dict(zip(("dataset", "method", "budget"), about, strict=True)), measure="vd")
    shown = rows.rows.set_index(["column", "level"]).value
    if worst is None:
        assert shown.isna().all(), "nobody is judged where no group has people enough"
        return
    assert shown[worst[:2]] == pytest.approx(worst[2])
    title, value, about_it = sentences.numbers(study, *about, False, ("worst_group_vd",))[0]
    assert title == "worst group VD" and value == fmt.measured("vd").format(worst[2]) and worst[1] in about_it
    hit = by_group.hit_most(study, *about, "vd")
    assert hit is None or (hit.column, hit.level) == worst[:2]


def test_gap_of_means_is_that_of_the_picture_above(study: Stored) -> None:
    first = study.runs.iloc[0]
    rows = picture.draw("group_gaps", study, dataset=first.dataset, method=first.method, measure="vd").rows
    for r in rows.itertuples():
        about = {"dataset": first.dataset, "method": first.method, "budget": r.budget, "measure": "vd"}
        groups = picture.draw("groups", study, **about).rows
        mine = groups[groups.column == r.column].value.dropna()
        assert r.gap_of_means == pytest.approx(mine.max() - mine.min())


def test_no_group_is_approved_below_nought_or_above_all(study: Stored) -> None:
    for method, budget in dict.fromkeys(zip(study.runs.method, study.runs.budget, strict=True)):
        about = {"dataset": study.runs.dataset.iloc[0], "method": method, "budget": budget}
        rows = picture.draw("group_baseline", study, **about).rows
        assert rows.empty or (rows[["fp32", "student"]].stack().between(-1e-9, 1 + 1e-9)).all()


@pytest.mark.parametrize(("measure", "crossing"), [("crg_abs", False), ("approval_shift", False), ("vd", True)])
def test_groups_headline_is_about_the_measure_on_show(
    measure: str, crossing: bool, on_store: Callable[[str], None], open_page: Open
) -> None:
    on_store("own")
    at = open_page("groups", **{"group-crossing": str(crossing).lower()})
    at.segmented_control(key="group-measure").set_value(measure).run()
    sel = at.session_state["_selection"]
    said = sentences.groups(sel.study, sel.dataset, sel.method, sel.budget, measure, crossing)
    assert not at.exception and any(m.value == escape.sentence(said) for m in at.markdown)


def test_no_method_switched_on_draws_no_line(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    at = open_page("curves")
    at.pills(key="methods").set_value([]).run()
    assert not at.exception and not at.get("vega_lite_chart")
    assert any("No method is switched on" in i.value for i in at.info)


def test_marks_open_their_people_and_a_list_says_the_same(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    sel = open_page("answer").session_state["_selection"]
    drawn = picture.draw("verdicts", sel.study, dataset=sel.dataset, measure="vd")
    spec, found = chart.spec(drawn.chart), targets.of(sel, drawn.rows, targets.MODEL)
    linked = targets.linked(spec, found, targets.MODEL)
    assert all("href" in layer["encoding"] for layer in linked["layer"])
    assert not any("href" in layer["encoding"] for layer in spec["layer"]), "what is cached stays as it is"
    (table,) = linked["datasets"].values()
    assert set(table.url) == {t.url for t in found} and len(found) == len(drawn.rows)
    crossing = targets.of(sel, picture.draw("groups", sel.study, dataset=sel.dataset, method="ptq", budget=2.0,
                          measure="vd", crossing=True).rows, targets.GROUP)  # fmt: skip
    assert all(t.url.count("in-") == 2 for t in crossing)


def test_bench_says_what_the_landscape_holds(study: Stored) -> None:
    given = bench.of(study, study.runs.dataset.iloc[0])
    assert given is not None
    for plan, seeds in study.landscape.groupby(study.landscape.plans.map(lambda p: "-".join(map(str, p)))):
        assert given["plans"][plan]["vd"] == pytest.approx(100 * seeds.vd.mean(), abs=0.01)
    even = given["plans"]["-".join(["8"] * len(given["sizes"]))]
    assert even["bytes"].startswith(f"{sum(given['sizes']):,} bytes")
    assert all(c["plan"] in given["plans"] for c in given["chosen"])


def test_every_method_has_a_plain_name() -> None:
    for method in plugins.names("methods"):
        assert names.plain(method) != method and method in names.both(method)


@pytest.mark.parametrize(
    ("path", "query", "to"),
    [("/", b"", "?study=ab12"), ("/groups", b"budget=2", "?study=ab12&budget=2"), ("/", b"study=cd34", None),
     ("/_stcore/health", b"", None)],
)  # fmt: skip
def test_a_bare_address_is_sent_to_the_one_that_names_its_study(
    path: str, query: bytes, to: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "newest", lambda: "ab12")
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(*_: Any) -> None:
        sent.append("passed")

    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": []}
    asyncio.run(front_door.NamesItsStudy(app)(scope, None, send))  # type: ignore[arg-type]
    if to is None:
        assert sent == ["passed"]
    else:
        assert sent[0]["status"] == 307 and (b"location", to.encode()) in sent[0]["headers"]
