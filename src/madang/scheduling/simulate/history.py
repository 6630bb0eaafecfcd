"""What users have had so far, decaying, as fair share wants to know it."""

from __future__ import annotations

from collections.abc import Mapping

from madang.domain.decay import decayed_seconds
from madang.domain.devices import shares_slot
from madang.scheduling.snapshot import Running


class History:
    """Decayed slot-seconds of users from sessions that have ended; device slots as `<kind>.shares`."""

    def __init__(self, half_life_seconds: float) -> None:
        self._half_life = half_life_seconds
        self._sums: dict[str, tuple[float, dict[str, float]]] = {}  # as of when

    def fold(self, ended: Running, now: float) -> None:
        """Count a session that stops holding its room now, for as long as it held it."""
        seconds = decayed_seconds(now - ended.started, self._half_life)
        before, sums = self._sums.get(ended.user, (now, {}))
        sums = self._decayed(sums, now - before)
        for part in ended.parts:
            for slot, amount in part.slots.items():
                sums[slot] = sums.get(slot, 0.0) + amount * seconds
            if part.shares:
                slot = shares_slot(part.kind)
                sums[slot] = sums.get(slot, 0.0) + sum(share.milli for share in part.shares) * seconds
        self._sums[ended.user] = now, sums

    def at(self, now: float) -> Mapping[str, Mapping[str, float]]:
        """What is left of it by now."""
        return {user: self._decayed(sums, now - as_of) for user, (as_of, sums) in self._sums.items()}

    def _decayed(self, sums: Mapping[str, float], seconds: float) -> dict[str, float]:
        part = 0.5 ** (seconds / self._half_life)
        return {slot: amount * part for slot, amount in sums.items()}
