"""The walk of a first visitor, in a real browser: run, reload, answer, click, person, link, report."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import cfq_core
from cfq_core.study.store import Store
from dashboard.lib import pages
from tests.browser.conftest import ROOT

pytestmark = pytest.mark.gate
SCREENSHOTS = os.environ.get("CFQ_SCREENSHOTS")  # a folder; none are kept without it


def settled(page: Any) -> None:
    """Until the script has ended and every slot is filled."""
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    page.wait_for_function(
        """() => !document.querySelector(
            '[data-testid="stAppSkeleton"],[data-testid="stSkeleton"],[data-stale="true"]')"""
    )


def go(page: Any, name: str) -> None:
    """By the navigation: the question, then the page that answers it."""
    place = pages.found()[name]
    page.get_by_test_id("stTopNavSection").filter(has_text=place.question).first.click()
    page.get_by_test_id("stTopNavDropdownLink").filter(has_text=place.title).first.click()
    page.wait_for_url(re.compile(rf"/{'' if pages.found()[name].default else name}(\?|$)"))
    page.locator("h1").first.wait_for()
    settled(page)


def click_point(page: Any, picture: str, label: str) -> None:
    """Click the mark of a picture whose description holds ``label``."""
    mark = page.locator(f".st-key-{picture} svg g.mark-symbol.role-mark path[aria-label*='{label}']").first
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_walk(open_tab: Callable[..., Any], server: Any) -> None:
    from playwright.sync_api import expect

    page = open_tab()
    expect.set_options(timeout=120_000)
    page.goto(server.url)
    expect(page.locator("h1")).to_contain_text("Does the recourse survive?")  # the gallery's answer, nothing run yet
    settled(page)

    go(page, "study")
    page.get_by_label("Net: widths", exact=False).fill("8")
    page.get_by_label("Net: widths", exact=False).press("Enter")
    page.get_by_label("Seeds", exact=False).first.fill("2")
    page.get_by_label("Seeds", exact=False).first.press("Enter")
    page.get_by_label("Denied test people", exact=False).first.fill("20")
    page.get_by_label("Denied test people", exact=False).first.press("Enter")
    expect(page.get_by_text("2 teachers, 24 quantized models", exact=False)).to_be_visible()
    page.locator(".st-key-run button").click()
    progress = page.get_by_test_id("stProgress").first
    expect(progress).to_be_visible()
    page.reload()
    opened = page.locator("[class*='st-key-open-2'] button").first
    expect(progress.or_(opened).first).to_be_visible()  # found again after the reload, or done already
    expect(opened).to_be_visible(timeout=240_000)
    opened.click()

    expect(page.locator("h1")).to_contain_text("Does the recourse survive?")
    expect(page.get_by_test_id("stMarkdown").filter(has_text="with ptq").first).to_be_visible()
    settled(page)
    study = re.search(r"study=([0-9a-f]{12})", page.url)
    assert study, page.url
    page.get_by_text("Curves, and who is only lenient").click()
    settled(page)
    click_point(page, "curves", "cfq_anchored")
    expect(page.get_by_test_id("stMarkdown").filter(has_text="with cfq_anchored").first).to_be_visible()
    expect(page).to_have_url(re.compile("method=cfq_anchored"))

    go(page, "curves")
    expect(page.get_by_test_id("stMarkdown").filter(has_text="cfq_anchored at").first).to_be_visible()
    slider = page.get_by_role("slider").first
    slider.focus()
    slider.press("End")
    expect(page).to_have_url(re.compile("budget=8"))
    settled(page)

    second = open_tab(context=page.context)  # the link in a new tab: the same view
    second.goto(page.url)
    expect(second.get_by_test_id("stMarkdown").filter(has_text="cfq_anchored at 8 bits").first).to_be_visible()
    settled(second)
    _person(page, expect)
    _report(page, expect)


#: Icons, a cell of the table and a group, each with what People must say of it.
TARGETS = ("a.side", "td a", "a.bar")


def german() -> str:
    """The gallery's study of German Credit."""
    with closing(Store.for_reading(ROOT / "data" / "gallery")) as store:
        return str(next(s["id"] for s in store.studies() if s["name"].startswith("German Credit")))


def test_first_look_moves_and_opens_its_people(open_tab: Callable[..., Any], server: Any) -> None:
    """The slider moves the whole view without the server; a mark opens its people; one Back returns to the view."""
    from playwright.sync_api import expect

    page = open_tab()
    expect.set_options(timeout=120_000)
    page.goto(f"{server.url}/?study={german()}")  # other tests of this server may have left a study without groups
    line = page.locator(".line")
    expect(line).to_contain_text("promised actions")
    settled(page)
    assert "study=" in page.url, "the address names its study"
    slider = page.locator("input#bits")
    slider.focus()
    started = page.evaluate("performance.now()")
    slider.press("Home")
    expect(line).to_contain_text("at 2 bits")
    assert page.evaluate("performance.now()") - started < 5000
    expect(page.locator(".block.now h2")).to_have_text("2 bits")
    expect(page).to_have_url(re.compile("budget=2"))
    settled(page)
    for target in TARGETS:
        mark = page.locator(target).first
        mark.focus()  # by the keyboard
        address = mark.get_attribute("href")
        mark.press("Enter")
        expect(page.locator("h1")).to_contain_text("People")
        expect(page.get_by_text("Shown: ", exact=False).first).to_be_visible()
        expect(page.get_by_text("their promise breaks", exact=False).first).to_be_visible()
        assert "fate=broken" in page.url and address
        settled(page)
        page.go_back()
        expect(line).to_contain_text("at 2 bits")
        settled(page)


def test_another_page_is_one_press_of_back_away(open_tab: Callable[..., Any], server: Any) -> None:
    page = open_tab()
    page.goto(server.url)
    page.locator(".line").wait_for()
    settled(page)
    steps = page.evaluate("history.length")
    go(page, "curves")
    assert page.evaluate("history.length") == steps + 1
    page.go_back()
    page.locator(".line").wait_for()


def test_bench_answers_by_itself(open_tab: Callable[..., Any], server: Any) -> None:
    from playwright.sync_api import expect

    page = open_tab()
    page.goto(f"{server.url}/bench")
    says = page.locator(".fact strong").first
    expect(says).to_contain_text("of 100")
    settled(page)
    sent: list[str] = []
    page.on("websocket", lambda w: sent.append(w.url))
    for i in range(page.locator(".layer input[id^=layer]").count()):
        page.locator(f"#layer-{i}").press("End")
    expect(page.locator(".fact").last).to_contain_text("8.00 bits")
    page.get_by_role("button", name="Best plan within this budget").click()
    assert not sent


def test_study_survives_a_closed_browser_and_a_killed_server(open_tab: Callable[..., Any], server: Any) -> None:
    from playwright.sync_api import expect

    page = open_tab()
    page.goto(f"{server.url}/study")
    page.get_by_label("Name", exact=True).fill("outlives its server")
    page.get_by_label("Seeds", exact=False).first.fill("30")
    page.get_by_label("Seeds", exact=False).first.press("Enter")
    expect(page.get_by_text("30 teachers", exact=False)).to_be_visible()
    page.locator(".st-key-run button").click()
    mine = "[class*='st-key-job-']"
    expect(page.locator(mine).filter(has_text="outlives its server").get_by_test_id("stProgress")).to_be_visible()
    page.close()
    server.kill()
    server.start()

    again = open_tab()
    again.goto(f"{server.url}/study")
    job = again.locator(mine).filter(has_text="outlives its server")
    expect(job).to_contain_text("running")  # found again, and alive
    job.get_by_role("button", name="Cancel").click()
    expect(job).to_contain_text("cancelled")


def _person(page: Any, expect: Any) -> None:
    if "person" not in pages.found():
        return
    go(page, "person")
    expect(page.locator("h1")).to_be_visible()
    sliders = page.get_by_test_id("stMain").get_by_role("slider")
    if sliders.count():
        before = sliders.first.get_attribute("aria-valuenow")
        sliders.first.focus()
        sliders.first.press("ArrowRight")
        settled(page)
        if sliders.first.get_attribute("aria-valuenow") == before:
            sliders.first.press("ArrowLeft")
        settled(page)
    page.get_by_text("Check advice from elsewhere").click()
    expect(page.get_by_text("under the card", exact=False).first).to_be_visible()


def _report(page: Any, expect: Any) -> None:
    if "report" not in pages.found():
        return
    go(page, "report")
    button = page.get_by_test_id("stDownloadButton").filter(has_text=re.compile("HTML|report", re.I)).first
    with page.expect_download() as download:
        button.get_by_role("button").click()
    text = Path(download.value.path()).read_text()
    assert text.lstrip().lower().startswith("<!doctype html")
    assert "<script" not in text


def test_a_table_of_ones_own_is_kept_and_chosen(open_tab: Callable[..., Any], server: Any, tmp_path: Path) -> None:
    """A CSV as a spreadsheet writes it: the good outcome is asked for, advice in words stands before any study."""
    from playwright.sync_api import expect

    lines = (ROOT / "data" / "cards" / "example.csv").read_text().replace(",", ";").replace("0.", "0,")
    (tmp_path / "loans.csv").write_text(lines)
    page = open_tab()
    expect.set_options(timeout=120_000)
    page.goto(f"{server.url}/study")
    settled(page)
    page.get_by_text("Use a table of your own").click()
    page.locator(".st-key-own-csv input[type=file]").set_input_files(tmp_path / "loans.csv")
    for key, word in (("own-target", "approved"), ("own-favourable-approved", "yes")):
        field = page.locator(f".st-key-{key} input")
        expect(page.locator(".st-key-own-keep")).to_have_count(0)
        field.click()
        page.keyboard.type(word)
        page.get_by_role("option", name=re.compile(word)).first.click()
    keep = page.locator(".st-key-own-keep button")
    expect(keep).to_be_visible()
    expect(page.get_by_text("questions that only you can answer", exact=False)).to_be_visible()
    page.keyboard.press("Escape")
    keep.click()
    expect(page.get_by_text("They would be told: ", exact=False)).to_be_visible()
    expect(page.locator(".st-key-form-dataset input")).to_have_value(re.compile("loans: 400 rows, uploaded"))


def test_a_printed_report_has_at_most_eight_pages(browser: Any, tmp_path: Path) -> None:
    with closing(Store.for_reading(ROOT / "data" / "gallery")) as store:
        study = next(s["id"] for s in store.studies() if s["name"].startswith("Adult"))
    written = cfq_core.open_study(study, store=ROOT / "data" / "gallery").report(tmp_path / "r.html")
    page = browser.new_page()
    page.goto(written.as_uri())
    printed = page.pdf(prefer_css_page_size=True)
    page.close()
    assert 2 <= len(re.findall(rb"/Type /Page\b", printed)) <= 8


#: What axe-core objects to on the page as it stands: rule, and the first elements concerned.
OBJECTIONS = """async (except) => (await axe.run({exclude: except}, {resultTypes: ["violations"]})).violations.map(
    v => [v.id, ...v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))])"""
STREAMLITS_OWN: list[str] = []

#: Every combination where screenshots are asked for; else each theme and each width once.
VIEWS = [("light", 1440), ("dark", 800), *([("dark", 1440), ("light", 800)] if SCREENSHOTS else [])]


@pytest.mark.parametrize(("scheme", "width"), VIEWS)
def test_every_page_draws_and_can_be_used_by_all(
    scheme: str, width: int, open_tab: Callable[..., Any], server: Any, axe: str
) -> None:
    """Each by its own address, on the gallery: no error, nothing that axe-core objects to; a screenshot if asked."""
    page, objections = open_tab(width=width, height=2000, scheme=scheme), {}
    for name, about in pages.found().items():
        page.goto(f"{server.url}/{'' if about.default else name}")
        page.locator("h1").first.wait_for()
        settled(page)
        assert page.get_by_test_id("stException").count() == 0, name
        if SCREENSHOTS:
            page.wait_for_timeout(1500)  # the charts' own drawing
            page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{scheme}-{width}.png")
        page.evaluate(axe)
        if found := page.evaluate(OBJECTIONS, STREAMLITS_OWN):
            objections[name] = found
    assert not objections
