"""Everything that this package uses of Numba's private parts to keep machine code on disk; kernels run without it too.

A machine that lost its power leaves empty and cut files, and a disk can be full. Numba then raises an error at each
call of the kernel. Here the kernel is compiled afresh, and the user is told once where.
"""

from __future__ import annotations

import contextlib
import glob
import warnings
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache

_told: set[str] = set()  # what the user has been told in this process


class ForgivingCache(FunctionCache):
    """The machine code of a kernel on disk, whose files may be damaged and whose folder may be full."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The machine code for a signature, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # noqa: BLE001 - damaged pickles raise many kinds
            self._remove(error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the machine code for a signature where that is possible."""
        try:
            super().save_overload(sig, data)
        except Exception as error:  # noqa: BLE001 - what was not removed of a damaged cache is read here again
            why = f"machine code cannot be kept in {self.cache_path} ({_one_line(error)})"
            _tell_once("full", f"{why}: kernels are compiled afresh in each process")

    def lacks(self, sig: Any, codegen: Any) -> bool:
        """Whether there is no machine code for a signature."""
        try:
            name = self._cache_file._load_index().get(self._index_key(sig, codegen))
        except Exception as error:  # noqa: BLE001
            self._remove(error)
            return True
        return name is None or not Path(self.cache_path, name).exists()

    def _remove(self, error: Exception) -> None:
        """Remove the files of this kernel. A new index must not lead to old machine code, so that goes first."""
        _tell_once("damaged", f"damaged machine code in {self.cache_path} ({_one_line(error)}) is compiled afresh")
        index = self._cache_file._index_path
        with contextlib.suppress(OSError):
            for path in [*glob.glob(f"{glob.escape(index.removesuffix('.nbi'))}.*.nbc"), index]:
                Path(path).unlink()


def _tell_once(what: str, text: str) -> None:
    if what not in _told:
        _told.add(what)
        warnings.warn(f"npstn: {text}", RuntimeWarning, stacklevel=2)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
