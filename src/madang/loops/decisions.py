"""The decisions of a scheduling pass as the database takes them, and which reasons are worth writing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from madang.db.repositories import queue
from madang.db.rows import HeldDevice, LiveRow, PartRow, WaitingRow
from madang.domain.devices import WHOLE, device_slot, shares_slot
from madang.domain.session import SessionState
from madang.domain.why import Why, WhyCode, sentence
from madang.scheduling.decisions import Decision, Expire, Placement, Preempt, Wait
from madang.scheduling.snapshot import Part

AT_ONCE: Final = 1000
"""So many placements, and so many reasons, are written in one batch at most; the others follow in the next."""

_PLACE: Final = frozenset({"position", "of"})
_NEARLY_SECONDS: Final = 60.0


@dataclass
class Batch:
    """What one transaction writes."""

    placed: list[queue.Chosen] = field(default_factory=list)
    told: list[queue.Told] = field(default_factory=list)
    giving_way: list[queue.GivingWay] = field(default_factory=list)
    hopeless: list[queue.Hopeless] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.placed or self.told or self.giving_way or self.hopeless)


class Reasons:
    """What waiting sessions have been told, so that a pass over thousands writes only what is news.

    A new reason is told at once. That the queue has moved on is told once in a while, since everybody's place changes
    whenever one session starts.
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, WaitingRow | None]] = {}
        self._last: dict[str, Wait] = {}
        self._moved_on: dict[str, queue.Told] = {}

    def news(self, waits: Iterable[Wait], rows: Mapping[str, LiveRow]) -> list[queue.Told]:
        """What has to be told at once, of the head of the queue first. Forgets those who no longer wait."""
        urgent: list[queue.Told] = []
        last: dict[str, Wait] = {}
        moved_on: dict[str, queue.Told] = {}
        for wait in waits:
            name = wait.session_id
            last[name] = wait
            if self._last.get(name) == wait:
                if name in self._moved_on:
                    moved_on[name] = self._moved_on[name]
                continue
            now = _told(wait)
            reason, waiting = self._told.setdefault(name, (rows[name].reason, rows[name].waiting))
            if _is_news(waiting, now.waiting):
                urgent.append(now)
            elif reason != now.reason or _moved(waiting, now.waiting):
                moved_on[name] = now
        self._last = last
        self._told = {name: told for name, told in self._told.items() if name in last}
        self._moved_on = moved_on
        for later in urgent[AT_ONCE:]:
            self._moved_on[later.session_id] = later
        return urgent[:AT_ONCE]

    @property
    def behind(self) -> bool:
        """Whether there is something that may be told once in a while."""
        return bool(self._moved_on)

    def moved_on(self) -> list[queue.Told]:
        """That, or a part of it."""
        return list(self._moved_on.values())[:AT_ONCE]

    def written(self, told: Iterable[queue.Told]) -> None:
        """It is in the database."""
        for one in told:
            self._told[one.session_id] = (one.reason, one.waiting)
            self._moved_on.pop(one.session_id, None)

    def forget(self, session_id: str) -> None:
        """The session no longer waits, or will be told anew."""
        self._told.pop(session_id, None)
        self._last.pop(session_id, None)
        self._moved_on.pop(session_id, None)


def batches_of(decisions: Iterable[Decision], rows: Mapping[str, LiveRow], reasons: Reasons) -> list[Batch]:
    """What of the decisions has to be written at once: one batch, unless thousands start together."""
    first = batch_of(decisions, rows, reasons)
    if not first:
        return []
    rest = [first.placed[at : at + AT_ONCE] for at in range(AT_ONCE, len(first.placed), AT_ONCE)]
    del first.placed[AT_ONCE:]
    return [first, *(Batch(placed=placed) for placed in rest)]


def batch_of(decisions: Iterable[Decision], rows: Mapping[str, LiveRow], reasons: Reasons) -> Batch:
    """All of what has to be written at once."""
    batch = Batch()
    waits: list[Wait] = []
    for one in decisions:
        match one:
            case Placement():
                parts = tuple(_part_row(part) for part in one.parts)
                batch.placed.append(queue.Chosen(one.session_id, parts))
            case Wait():
                waits.append(one)
            case Preempt():
                name = rows[one.for_session].name
                batch.giving_way.append(queue.GivingWay(one.session_id, one.for_session, name, one.grace_seconds))
            case Expire():
                batch.hopeless.append(queue.Hopeless(one.session_id, _end(one.why), sentence(one.why)))
    if waits:
        batch.told = reasons.news(waits, rows)
    return batch


def _end(why: Why) -> SessionState:
    """A session that missed its deadline has failed; one that waits for what will never be is taken back."""
    return SessionState.CANCELLED if why.code is WhyCode.DEPENDENCY_FAILED else SessionState.FAILED


def _part_row(part: Part) -> PartRow:
    slots = dict(part.slots)
    if part.shares:
        slots[shares_slot(part.kind)] = sum(share.milli for share in part.shares)
        if whole := sum(share.milli == WHOLE for share in part.shares):
            slots[device_slot(part.kind)] = whole
    return PartRow(part.node, slots, tuple(HeldDevice(part.kind, share.index, share.milli) for share in part.shares))


def _told(wait: Wait) -> queue.Told:
    start = wait.estimated_start
    waiting = WaitingRow(
        wait.why.code.value,
        dict(wait.why.values),
        wait.position,
        wait.of,
        None if start is None else datetime.fromtimestamp(round(start), UTC),
    )
    return queue.Told(wait.session_id, sentence(wait.why), waiting)


def _is_news(before: WaitingRow | None, now: WaitingRow) -> bool:
    """Whether more has changed than the place in the queue."""
    if before is None or before.code != now.code:
        return True
    keys = (before.values.keys() | now.values.keys()) - _PLACE
    return any(before.values.get(key) != now.values.get(key) for key in keys)


def _moved(before: WaitingRow | None, now: WaitingRow) -> bool:
    """Whether the place or the expected start is another; a start that is nearly the same is the same."""
    if before is None or before.position != now.position:
        return True
    if before.estimated_start is None or now.estimated_start is None:
        return before.estimated_start is not now.estimated_start
    apart = abs((now.estimated_start - before.estimated_start).total_seconds())
    return apart > _NEARLY_SECONDS
