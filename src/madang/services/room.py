"""Room on the disk that has to remember what is accepted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from madang.domain.errors import StorageFull

_NEEDED: Final = 48 << 20
"""Kept free, in bytes: so that what runs can still be written down to its end, and the database never meets a full disk
because of new work."""


def _free_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free


class Room:
    """Refuses new work in time: a session accepted onto a full disk could not even be told that it failed."""

    def __init__(self, data_dir: Path, free_bytes: Callable[[Path], int] = _free_bytes) -> None:
        self._data_dir = data_dir
        self._free_bytes = free_bytes

    def require(self) -> None:
        """Raises StorageFull when little is left."""
        free = self._free_bytes(self._data_dir)
        if free < _NEEDED:
            raise StorageFull(
                f"The disk of {self._data_dir} is nearly full ({free >> 20} MiB free), so nothing new is accepted. "
                "Make room there, for example with `madang session rm` of ended sessions; what runs goes on."
            )
