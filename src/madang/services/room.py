"""Room on the disk that has to remember what is accepted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from madang.domain.errors import StorageFull

_NEEDED: Final = 48 << 20
"""Kept free, in bytes: so that what runs can still be written down to its end, and the database never meets a full disk
because of new work."""


class Room:
    """Refuses new work in time: a session accepted onto a full disk could not even be told that it failed."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def require(self) -> None:
        """Raises StorageFull when little is left."""
        free = shutil.disk_usage(self._data_dir).free
        if free < _NEEDED:
            raise StorageFull(
                f"The disk of {self._data_dir} is nearly full ({free >> 20} MiB free), so nothing new is accepted. "
                "Make room there, for example with `madang session rm` of ended sessions; what runs goes on."
            )
