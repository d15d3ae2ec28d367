"""Runs that an older npstn wrote: format 1 of the run folder, until 2026-11-26."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from npstn.runs.errors import RunError


def refuse_older(folder: Path, entries: Any) -> None:
    """Raise RunError for the config.json of format 1, which knew neither tasks nor transformers.

    Args:
        entries: what stands in config.json, any JSON.
    """
    if isinstance(entries, dict) and "format" not in entries and {"model", "data", "angle"} <= entries.keys():
        weights, net = folder / "weights.safetensors", "ClsNet" if entries["model"] == "cnn" else "STNClsNet"
        raise RunError(
            f"expected a run of this npstn, got {folder}, which an older npstn wrote: train it afresh in another "
            f"folder, or read its weights with npstn.load({str(weights)!r}); they fit models.{net}"
        )
