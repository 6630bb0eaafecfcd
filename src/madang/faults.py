"""Write points: places where a test may end the process, to show that a restart puts everything right.

Without MADANG_FAULT in the environment a point is one comparison. With `count:FILE` every point appends its name to
FILE; with `kill:FILE` the process kills itself with SIGKILL at the N-th point after somebody wrote N into FILE.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Final


class _Fault:
    """What MADANG_FAULT asks for."""

    def __init__(self, written: str) -> None:
        mode, _, value = written.partition(":")
        self._names = Path(value) if mode == "count" else None
        self._armed = Path(value) if mode == "kill" else None
        self._left = 0
        self._lock = threading.Lock()

    def reach(self, name: str) -> None:
        with self._lock:
            if self._names is not None:
                with self._names.open("a") as file:
                    file.write(f"{name}\n")
            if self._armed is not None and self._armed.exists():
                self._left = self._left or int(self._armed.read_text())
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)


_asked: Final = os.environ.get("MADANG_FAULT", "")
_fault: Final = _Fault(_asked) if _asked else None


def write_point(name: str) -> None:
    """Say that something durable is about to be, or has just been, written."""
    if _fault is not None:
        _fault.reach(name)
