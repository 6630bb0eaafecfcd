"""Which devices are asked for, and how often, so that placement knows what to keep room for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from madang.domain.devices import Claim, Share
from madang.scheduling.rows import Request, Running

_MANY: Final = 8192  # containers; when more have been counted, all counts are halved, so that old times fade
_LEAST: Final = 1 / 64  # what has become rarer than this is forgotten
_FIRST: Final = 8  # so many new containers, and half of what was known, make what is said of them worth saying anew
_PART: Final = 2


@dataclass(frozen=True, slots=True, order=True)
class Ask:
    """What one container asks for: counted slots by name, and `count` devices of a kind with `milli` of each."""

    kind: str
    count: int
    milli: int
    models: tuple[str, ...]
    slots: tuple[tuple[str, int], ...]

    @property
    def claim(self) -> Claim:
        """The claim for devices."""
        return Claim(self.kind, self.count, self.milli, self.models)


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """How often containers with devices are asked for: asks, in their order, with weights (only their ratio counts)."""

    asks: tuple[Ask, ...] = ()
    weights: tuple[float, ...] = ()

    @classmethod
    def of(cls, requests: Iterable[Request], running: Iterable[Running]) -> Demand:
        """What those who wait ask for, and those who run once asked for."""
        counter = DemandCounter()
        for request in requests:
            counter.asked(request)
        for one in running:
            counter.runs(one)
        return counter.demand()


class DemandCounter:
    """Counts what comes, and says what is usual: rarely something new, since others compute long on it."""

    def __init__(self) -> None:
        self._counts: dict[Ask, float] = {}
        self._total = 0.0
        self._new = 0
        self._said: Demand | None = None

    def asked(self, request: Request) -> None:
        """A session has begun to wait."""
        if request.claim is not None:
            self._count(request.claim, request.slots, request.size)

    def runs(self, running: Running) -> None:
        """A session runs of which nobody saw how it began to wait."""
        for part in running.parts:
            if part.shares:
                self._count(_claimed(part.kind, part.shares), part.slots, 1)

    def demand(self) -> Demand:
        """What is usual, as of some time ago."""
        if self._said is None or self._new >= _FIRST + self._total / _PART:
            some = sorted((ask, count) for ask, count in self._counts.items() if count >= _LEAST)
            self._said = Demand(tuple(ask for ask, _ in some), tuple(count for _, count in some))
            self._counts = dict(some)
            self._new = 0
        return self._said

    def _count(self, claim: Claim, slots: Mapping[str, int], containers: int) -> None:
        amounts = tuple(sorted((name, amount) for name, amount in slots.items() if amount))
        ask = Ask(claim.kind, claim.count, claim.milli, claim.models, amounts)
        self._counts[ask] = self._counts.get(ask, 0.0) + containers
        self._total += containers
        self._new += containers
        if self._total > _MANY:
            self._counts = {one: count / 2 for one, count in self._counts.items()}
            self._total /= 2


def _claimed(kind: str, shares: tuple[Share, ...]) -> Claim:
    """What a container must have asked for that holds these devices; nobody remembers the models it named."""
    return Claim(kind, len(shares), shares[0].milli)
