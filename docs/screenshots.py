"""Takes README's screenshots anew, of the gallery in a real browser: python docs/screenshots.py (needs chromium)."""

from __future__ import annotations

import io
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
OUT = ROOT / "data" / "screenshots"
WIDTH, HEIGHT, SHOWN, COLOURS = 1280, 1150, 960, 96  # pixels of the window, of the picture; colours of its palette
DRAWN = 2000  # milliseconds that charts take to draw themselves
#: Picture, page, the gallery's study by the start of its name, and what else stands in the address.
SHOTS = (
    ("answer", "", "Adult", "budget=3"),
    ("bench", "bench", "Adult", ""),
    ("playground", "playground", "Adult", ""),
    ("person", "person", "Diabetes", "budget=3&fate=broken"),
)


def main() -> None:
    """All pictures, into data/screenshots."""
    from cfq_core.study.store import Store
    from tests.browser.conftest import QUIET, Server, chromium

    with closing(Store.for_reading(ROOT / "data" / "gallery")) as store:
        studies = {s["name"]: s["id"] for s in store.studies()}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        server = Server(Path(folder) / "store")
        browser = p.chromium.launch(executable_path=chromium(), args=list(QUIET))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(120_000)
        for name, place, start, query in SHOTS:
            study = next(id for known, id in studies.items() if known.startswith(start))
            _take(page, f"{server.url}/{place}?study={study}&{query}", OUT / f"{name}.png")
        browser.close()
        server.stop()


def _take(page: Page, address: str, out: Path) -> None:
    from tests.browser.test_walk import settled

    page.goto(address)
    page.locator("h1").first.wait_for()
    settled(page)
    page.wait_for_timeout(DRAWN)
    seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    small = seen.resize((SHOWN, round(seen.height * SHOWN / seen.width)), Image.Resampling.LANCZOS)
    small.quantize(COLOURS).save(out, optimize=True)


if __name__ == "__main__":
    main()
