"""Pages to play with: one HTML file each, which a browser shows without a server and without a network.

    states.py       what the page of a run shows, computed by npstn
    run.py          the page of a run: figures, tables, texts;  run.html, run.js
    pixel.py        the page of one point between four pixels;  pixel.html, pixel.js
    page.py         what both are made of: tables, figures, the file;  page.js, page.css

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
    numbers: Sequence[int] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    best: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Write the page of a run: some test images, and a slider for each parameter of its transformers.

    Args:
        path: the page, an HTML file of less than 5 MB.
        run: the folder that `npstn train` wrote.
        numbers: those of the test images, from 0; where None, the first three, or, with points to drag, the first. The
            more there are, the coarser are the steps of the sliders.
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
    task = config.open_task(folder, data_dir)
    test = task.test()
    dragged = states.points(net, test)
    usual = range(min(1 if dragged else 3, len(test.labels)))  # points take room
    wanted = list(usual if numbers is None else dict.fromkeys(numbers))
    if not wanted:
        raise runs.RunError("expected a test image at least, got none")
    for number in wanted:
        if not 0 <= number < len(test.labels):
            raise runs.RunError(f"expected test images from 0 to {len(test.labels) - 1}, got {number}")
    n = states.positions(net, test, wanted)
    if not n:
        most = next((k for k in range(len(wanted) - 1, 0, -1) if states.positions(net, test, wanted[:k])), 0)
        many = f"at most {most} test image{'s' * (most > 1)}" if most else "smaller images"
        raise runs.RunError(f"expected {many} for a page of less than 5 MB, got {len(wanted)}, read at many parameters")
    played = []
    for k, number in enumerate(wanted, start=1):
        steps = f"{n} x {n} places of each point" if dragged else f"{n} positions of each slider"
        say(f"reading test image {number} at {steps} ({k} of {len(wanted)})")
        played.append(states.play(net, test, number, n))
    page.write_page(path, folder.resolve().name, task, played)
