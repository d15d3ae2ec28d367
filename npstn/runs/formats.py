"""Runs that another npstn wrote, an older or a newer one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from npstn.runs.errors import RunError

FORMAT = 2  # of the run folder; format 1, until 2026-11-26, knew neither tasks nor transformers


def refuse_other_formats(folder: Path, entries: Any) -> None:
    """Raise RunError for the config.json of another format, and say what can be done with such a run.

    Args:
        entries: what stands in config.json, any JSON.
    """
    if not isinstance(entries, dict):
        return
    number = entries.get("format")
    if isinstance(number, int) and number > FORMAT:
        raise RunError(
            f"expected a run of format {FORMAT} in {folder}, got format {number}, which a newer npstn wrote: "
            f"update npstn"
        )
    if number is None and {"model", "data", "angle"} <= entries.keys():
        weights, net = folder / "weights.safetensors", "ClsNet" if entries["model"] == "cnn" else "STNClsNet"
        raise RunError(
            f"expected a run of this npstn, got {folder}, which an older npstn wrote: train it afresh in another "
            f"folder, or read its weights with npstn.load({str(weights)!r}); they fit models.{net}"
        )
