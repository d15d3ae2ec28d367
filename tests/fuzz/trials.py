"""Trials: each tries a public name that is no operation with awkward arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.fuzz.calls import Fault, described, refused
from tests.fuzz.draws import Draws

TRIALS: dict[str, Callable[[Draws], None]] = {}


def trial_of(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a trial of these public names; the trial is called with the draws and the name."""

    def register(trial: Callable[[Draws, str], None]) -> Callable[[Draws, str], None]:
        for name in names:
            TRIALS[name] = lambda d, name=name: trial(d, name)
        return trial

    return register


def tried(valid: bool | None, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The result; None if the arguments were refused in the right form. valid=None: they may be refused or not."""
    try:
        with np.errstate(all="ignore"):
            found = function(*arguments, **options)
    except Exception as error:  # noqa: BLE001
        try:
            refused(error, bool(valid))
        except Fault as fault:
            given = [*map(described, arguments), *(f"{k}={v!r}" for k, v in options.items())]
            raise Fault(f"{fault}, by {getattr(function, '__name__', function)}({', '.join(given)})") from error
        return None
    if valid is False:
        raise Fault(f"{function} accepts {arguments} {options}")
    return found
