"""Runs on disk: the folder that `npstn train` writes."""

from npstn.runs.config import Config, read_config, write_config
from npstn.runs.folder import RunError, RunExists, create, load_net, read_metrics, tidy
from npstn.runs.resume import load_checkpoint, save_checkpoint
from npstn.runs.saver import Saver, Stopped

__all__ = [
    "Config",
    "RunError",
    "RunExists",
    "Saver",
    "Stopped",
    "create",
    "load_checkpoint",
    "load_net",
    "read_config",
    "read_metrics",
    "save_checkpoint",
    "tidy",
    "write_config",
]
