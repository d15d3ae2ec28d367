"""Runs on disk: the folder that `npstn train` writes."""

from npstn.runs.config import Config, is_run, read_config, write_config
from npstn.runs.errors import RunError, RunExists, RunIsBusy
from npstn.runs.folder import create, load_net, named_after_now, read_metrics, tidy
from npstn.runs.lock import locked
from npstn.runs.resume import Saved, load_checkpoint, save_checkpoint
from npstn.runs.saver import Saver, Stopped

__all__ = [
    "Config",
    "RunError",
    "RunExists",
    "RunIsBusy",
    "Saved",
    "Saver",
    "Stopped",
    "create",
    "is_run",
    "load_checkpoint",
    "load_net",
    "locked",
    "named_after_now",
    "read_config",
    "read_metrics",
    "save_checkpoint",
    "tidy",
    "write_config",
]
