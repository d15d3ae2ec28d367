"""A browser without a window, for the tests of pages: Chromium, and Selenium to lead it."""

import contextlib
import io
import shutil
import time

import numpy as np
import pytest
from PIL import Image

PROGRAMS = "chromium", "chromium-browser", "google-chrome"


def start():
    """Start the browser; skip the test where there is none."""
    selenium = pytest.importorskip("selenium.webdriver", reason="no selenium")
    program, driver = next(filter(None, map(shutil.which, PROGRAMS)), None), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no browser (apt-get install chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = program
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return selenium.Chrome(options=options, service=selenium.ChromeService(driver))


class Page:
    """A page in the browser, as wide as a screen or a telephone."""

    def __init__(self, driver, path, width=1280, height=800, dark=False):
        self.driver, self.width = driver, width
        self.resize(height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": width < 600})
        driver.get_log("browser")  # what the page before it has said
        driver.get(path.resolve().as_uri())
        self.wait(lambda: self.run("return document.querySelector('main [aria-pressed=true]') != null"))
        self.wait(lambda: self.run("return Bokeh.documents[0].is_idle"))

    def resize(self, height):
        size = {"width": self.width, "height": height, "deviceScaleFactor": 1, "mobile": self.width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def wait(self, condition):
        """Until it holds. A page that never gets there fails the test."""
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until, "the page did not get there in a minute"
            time.sleep(0.02)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, name):
        """What an element says, with plain minus signs."""
        return self.run("return document.getElementById(arguments[0]).textContent", name).replace("\N{MINUS SIGN}", "-")

    def number(self, name):
        return float(self.text(name).split()[0])

    def model(self, name, what):
        """A part of a figure or of a source, "data.x" say, as lists."""
        look = "let part = Bokeh.documents[0].get_model_by_name(arguments[0]);"
        walk = "for (const name of arguments[1].split('.')) part = part[name];"
        return self.run(f"{look} {walk} return ArrayBuffer.isView(part) ? Array.from(part) : part", name, what)

    def image(self, name):
        """What is painted into an image of this name: uint8 (rows, columns, 3)."""
        look = "const image = Bokeh.documents[0].get_model_by_name(arguments[0]).data.image[0];"
        rows, columns, bytes_ = self.run(
            f"{look} return [...image.shape, Array.from(new Uint8Array(image.buffer, image.byteOffset))]", name
        )
        return np.array(bytes_, np.uint8)[: 4 * rows * columns].reshape(rows, columns, 4)[..., :3]

    def press(self, selector, *keys):
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(*keys)

    def click(self, selector):
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def place(self, name, x, y):
        """Where a point (x, y) of a figure is in the window."""
        return self.run(
            """
            const figure = Bokeh.documents[0].get_model_by_name(arguments[0])
            const view = Bokeh.index.find_one(figure), frame = view.frame
            view.el.scrollIntoView({block: "center"})
            const box = view.canvas_view.el.getBoundingClientRect()
            return [box.left + frame.x_scale.compute(arguments[1]), box.top + frame.y_scale.compute(arguments[2])]
            """,
            name,
            x,
            y,
        )

    def drag(self, name, start, end):
        """Drag from one point of a figure to another: with the mouse, on a telephone with a finger."""
        (x0, y0), (x1, y1) = self.place(name, *start), self.place(name, *end)
        path = [(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in np.linspace(0, 1, 8)]
        if self.width < 600:
            for kind, points in [("touchStart", path[:1]), *(("touchMove", [p]) for p in path[1:]), ("touchEnd", [])]:
                touches = [{"x": x, "y": y} for x, y in points]
                self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
        else:
            kinds = ["mousePressed", *["mouseMoved"] * 7, "mouseReleased"]
            for kind, (x, y) in zip(kinds, [*path, path[-1]], strict=True):
                event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
                self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def picture(self, name):
        """A screenshot of a figure's frame, uint8 (rows, columns, 3)."""
        x, y, w, h = self.run(
            """
            const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(arguments[0]))
            view.el.scrollIntoView({block: "center"})
            const box = view.canvas_view.el.getBoundingClientRect(), frame = view.frame.bbox
            return [box.left + frame.x, box.top + frame.y, frame.width, frame.height]
            """,
            name,
        )
        screen = np.asarray(Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB"))
        return screen[round(y) : round(y + h), round(x) : round(x + w)]

    def complaints(self):
        """What the page has said in the console, but for Bokeh's greeting."""
        said = self.driver.get_log("browser")
        return [entry["message"] for entry in said if entry["level"] != "INFO"]

    def loaded(self):
        """What the page has asked the network for."""
        return self.run("return performance.getEntriesByType('resource').map(entry => entry.name)")


@contextlib.contextmanager
def browser():
    driver = start()
    try:
        yield driver
    finally:
        driver.quit()
