"""Photograph pages of `npstn play`: `python docs/make_screenshots.py RUN` writes docs/pictures/play*.png.

Needs Chromium and Selenium, as the tests of the pages do. RUN is a run of the task and the transformer rotation.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from npstn import pages

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import Page, browser  # noqa: E402 - the browser of the tests

RIGHT = "\ue014"  # the key


def photograph(page: Page, name: str) -> None:
    """The whole page, in few colours: the file is smaller."""
    page.run("document.activeElement.blur()")
    page.resize(page.run("return document.querySelector('main').scrollHeight"))
    page.wait(lambda: page.run("return Bokeh.documents[0].is_idle"))
    picture = Image.open(io.BytesIO(page.driver.get_screenshot_as_png())).convert("RGB")
    few = picture.quantize(200, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(ROOT / "docs" / "pictures" / name, optimize=True)


with browser() as driver, tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "play.html")
    pages.write_run_page(file, sys.argv[1], [2882, 0, 1])
    page = Page(driver, file)
    page.press("#sliders input", RIGHT * 11)
    photograph(page, "play.png")
    pages.write_pixel_page(file)
    photograph(Page(driver, file), "play_pixel.png")
