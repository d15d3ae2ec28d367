"""Pages to play with: one HTML file each, which a browser shows without a server and without a network.

    states.py       what the page of a run shows, computed by npstn
    run.py          the page of a run: figures, tables, texts;  run.html, run.js
    pixel.py        the page of one point between four pixels;  pixel.html, pixel.js
    page.py         what both are made of: tables, figures, the file;  page.css

The scripts look numbers up and draw them. They compute none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from npstn import runs
from npstn.models import spatial_transformers


def check_package() -> None:
    """Raise RunError where the package bokeh is not installed."""
    try:
        import bokeh  # noqa: F401
    except ImportError:
        raise runs.RunError('npstn play: expected the package bokeh, got none; pip install "npstn[play]"') from None


def write_pixel_page(path: Path) -> None:
    """Write the page of one point between four pixels. Raises RunError where Bokeh is missing, OSError as `open`."""
    check_package()
    from npstn.pages import pixel  # here, because it needs Bokeh, which is an extra

    pixel.write_page(path)


def write_run_page(
    path: Path,
    run: str | os.PathLike[str],
    numbers: Sequence[int] = range(3),
    data_dir: str | os.PathLike[str] | None = None,
    best: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Write the page of a run: some test images, and a slider for each parameter of its transformers.

    Args:
        path: the page, an HTML file of less than 5 MB.
        run: the folder that `npstn train` wrote.
        numbers: those of the test images, from 0.
        data_dir: the folder of the data's files; where the run found them if None.
        best: take the weights of the run's best epoch, not of its last.
        say: is given a line before each image, which takes seconds.

    Raises RunError where Bokeh is missing, where there is no such run, no transformer in it or no such image, and where
    so many or so large images need more than a page holds; OSError where the page cannot be written.
    """
    check_package()
    from npstn.pages import run as page, states

    folder = Path(run)
    config = runs.read_config(folder)
    net = runs.load_net(folder, config, best)
    if not spatial_transformers(net):
        raise runs.RunError(f"expected a run with a transformer, got {run}, which has none")
    if not len(numbers):
        raise runs.RunError("expected a test image at least, got none")
    task = config.open_task(folder, data_dir)
    test = task.test()
    for number in numbers:
        if not 0 <= number < len(test.labels):
            raise runs.RunError(f"expected test images from 0 to {len(test.labels) - 1}, got {number}")
    n = states.positions(net, test, numbers)
    if not n:
        many = f"fewer than {len(numbers)} test images" if len(numbers) > 1 else "smaller images"
        raise runs.RunError(f"expected {many} for a page of less than 5 MB: each is read at many parameters")
    played = []
    for k, number in enumerate(numbers, start=1):
        say(f"reading test image {number} at all parameters of the page ({k} of {len(numbers)})")
        played.append(states.play(net, test, number, n))
    page.write_page(path, folder.resolve().name, task, played)
