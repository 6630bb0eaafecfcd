"""The port of a queue policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from madang.scheduling.snapshot import Snapshot


class Turn(Protocol):
    """One pass over the queue. Requests are indices into the snapshot."""

    def next(self) -> int | None:
        """The request to decide on now; None when nobody else may be placed in this pass."""

    def placed(self, request: int) -> None:
        """The request got its node."""

    def refused(self, request: int) -> None:
        """No node has room for it now; it keeps waiting."""

    def waiting(self) -> Sequence[int]:
        """All that keep waiting, in the order in which they are served."""


class QueuePolicy(Protocol):
    """Decides who goes next. Must not depend on the order of requests in the snapshot."""

    def begin(self, snapshot: Snapshot, now: float) -> Turn:
        """Begin a pass at time `now`, in seconds of the clock of `arrived`."""
