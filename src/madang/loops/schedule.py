"""The schedule loop: gives waiting sessions their nodes, or the reason why they wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import numpy as np
import structlog

from madang.db.engine import Database, Transaction
from madang.db.leader import Leadership
from madang.db.repositories import events, queue
from madang.domain.ids import Clock
from madang.domain.session import ENDED
from madang.loops.decisions import Batch, Reasons, batches_of
from madang.loops.picture import Group, Picture
from madang.scheduling.plan import plan
from madang.scheduling.policy import Policy
from madang.scheduling.snapshot import Snapshot
from madang.services.cluster import pause_of, policy_of
from madang.services.metrics import Metrics

_log = structlog.get_logger(__name__)

LEADER: Final = "schedule"

_LONGEST_SLEEP: Final = 30.0
_HELD_BACK_SECONDS: Final = (0.002, 0.05)  # before another look at events that wait for a transaction to end
_HELD_BACK_LONG: Final = 2.0  # then everything is read anew instead
_MOVED_ON_SECONDS: Final = 1.0  # between tellings that the queue has moved on
_SLOW_SECONDS: Final = 0.05  # a pass that takes longer is followed by a pause, in which changes gather
_LONGEST_PAUSE: Final = 0.5
_USAGE_SECONDS: Final = 5.0
_RULES_SECONDS: Final = 30.0  # history decays
_CATCH_UP_TRIES: Final = 10
_VERIFY_SECONDS: Final = 60.0
_VERIFY_SHARE: Final = 200.0  # of the time that reading everything takes


@dataclass(eq=False)
class _Desk:
    """What the loop remembers of a group between passes."""

    reasons: Reasons = field(default_factory=Reasons)
    policy: Policy | None = None
    policy_until: float = 0.0  # seconds since 1970
    usage_read_at: float = float("-inf")
    took: float = 0.0  # seconds of the last pass
    ended_at: float = float("-inf")
    reasoned_at: float = float("-inf")
    told_at: float = float("-inf")
    next_moment: float = float("inf")  # seconds since 1970, when time alone changes something


class ScheduleLoop:
    """Only the leader of all managers plans. It keeps a picture of every group in memory, changed by events and by its
    own decisions, and writes all decisions of a pass in one transaction that a newer leader would refuse.

    Whatever goes wrong, the database has the truth: the picture is thrown away and read anew.
    """

    name = "schedule"

    def __init__(self, database: Database, leadership: Leadership, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._leadership = leadership
        self._clock = clock
        self._metrics = metrics
        self.topics: Sequence[str] = (
            leadership.topic,
            "session.pending",
            "session.terminating",
            *(f"session.{state.value}" for state in ENDED),
            *("node.ready", "node.unreachable", "node.moved", "group.changed", "group.removed"),
            *("policy.changed", "policy.removed", "policy.laid", "maintenance.changed"),
            "closures.changed",
        )
        self.every_seconds = _LONGEST_SLEEP
        self._picture: Picture | None = None
        self._epoch: int | None = None
        self._desks: dict[str, _Desk] = {}
        self._held_back_since: float | None = None
        self._pause = _HELD_BACK_SECONDS[0]
        self._read_took = 0.0
        self._verified_at = 0.0
        self._verified_position = (-1, -1)

    async def step(self) -> None:
        """Take in what happened, and pass over the groups in which somebody may start now."""
        await self._leadership.seek()
        epoch = self._leadership.epoch
        if epoch is None:
            self._picture = None
            self.every_seconds = _LONGEST_SLEEP
            return
        if self._picture is None or self._epoch != epoch:
            self._epoch = epoch
            self._desks = {}
            self._picture = await self._read_all()
        picture, self._picture = self._picture, None  # what fails on the way leaves none behind
        picture = await self._follow(picture)
        sleeps = [await self._tend(picture, group, epoch) for group in tuple(picture.groups.values())]
        picture = await self._verify(picture)
        self._picture = picture
        self.every_seconds = min(self._sleep_of_events(), *sleeps, _LONGEST_SLEEP)

    async def close(self) -> None:
        """Give up leadership, so that another manager goes on at once."""
        self._picture = None
        await self._leadership.close()

    # The picture

    async def _read_all(self) -> Picture:
        began = time.monotonic()
        picture = await self._database.read(Picture.read)
        self._held_back_since = None
        self._read_took = time.monotonic() - began
        self._verified_at = time.monotonic()
        self._verified_position = picture.position
        return picture

    async def _follow(self, picture: Picture) -> Picture:
        if not await self._database.read(picture.follow):
            self._held_back_since = None
            self._pause = _HELD_BACK_SECONDS[0]
            return picture
        now = time.monotonic()
        if self._held_back_since is None:
            self._held_back_since = now
        elif now - self._held_back_since > _HELD_BACK_LONG:
            # A transaction that lasts must not make everybody wait: rows can be read, although events cannot yet.
            picture = await self._read_all()
        return picture

    def _sleep_of_events(self) -> float:
        if self._held_back_since is None:
            return _LONGEST_SLEEP
        pause, self._pause = self._pause, min(self._pause * 2, _HELD_BACK_SECONDS[1])
        return pause

    async def _verify(self, picture: Picture) -> Picture:
        """Compare with the database at times, if anything has happened."""
        every = max(_VERIFY_SECONDS, _VERIFY_SHARE * self._read_took)
        if time.monotonic() - self._verified_at < every or picture.position == self._verified_position:
            return picture
        return await self.verify(picture)

    async def verify(self, picture: Picture) -> Picture:
        """The picture, or a new one when it is not what the database says.

        Something is wrong when the database said the same before and after the picture had taken in all that happened
        before, and the picture says something else.
        """
        before = await self._read_all()
        if not await self._catch_up(picture):
            return picture  # a transaction lasts; another time
        after = await self._read_all()
        moved = set(before.differences(after))
        wrong = [one for one in picture.differences(after) if one not in moved]
        wrong += picture.contradictions()
        if not wrong:
            return picture
        _log.error("schedule_picture_was_wrong", differences=wrong[:20], of=len(wrong))
        return after

    async def _catch_up(self, picture: Picture) -> bool:
        """Take in all that has been begun until now; returns whether that was possible soon."""
        until = await self._database.read(events.begun)
        for _ in range(_CATCH_UP_TRIES):
            reached = await self._database.read(events.horizon)
            await self._database.read(picture.follow)
            if reached[0] >= until:
                return True
            await asyncio.sleep(_HELD_BACK_SECONDS[1])
        return False

    # One group

    async def _tend(self, picture: Picture, group: Group, epoch: int) -> float:
        """Make a pass if one is due; returns after how many seconds to look again."""
        desk = self._desks.setdefault(group.row.name, _Desk())
        if not group.requests:
            group.due = False
            return _LONGEST_SLEEP
        now = self._clock.now()
        if group.due or now.timestamp() >= desk.next_moment or self._reasons_are_due(desk):
            rest = desk.ended_at + _pause_after(desk.took) - time.monotonic()
            if rest > 0:
                return rest
            await self._pass(picture, group, desk, epoch, now)
        elif desk.reasons.behind and time.monotonic() - desk.told_at >= _MOVED_ON_SECONDS:
            await self._tell(desk, epoch)
        return self._sleep_of(group, desk)

    async def _pass(self, picture: Picture, group: Group, desk: _Desk, epoch: int, now: datetime) -> None:
        began = time.monotonic()
        policy = await self._policy(picture, group, desk, now)
        with_reasons = desk.took < _SLOW_SECONDS or began - desk.reasoned_at >= _MOVED_ON_SECONDS
        snapshot = group.state.snapshot()
        group.due = False

        # In a thread: with thousands of waiting sessions it takes a while, and users want to be answered meanwhile.
        def decide() -> list[Batch]:
            decisions = plan(snapshot, now.timestamp(), policy, reasons=with_reasons)
            return batches_of(decisions, picture.rows, desk.reasons)

        for batch in await asyncio.to_thread(decide):
            await self._write(picture, desk, batch, epoch, now)
        ended = time.monotonic()
        if with_reasons:
            desk.reasoned_at = ended
        desk.took, desk.ended_at = ended - began, ended
        desk.next_moment = next_moment(snapshot, policy, now.timestamp())
        self._metrics.schedule_seconds.observe(desk.took)

    async def _policy(self, picture: Picture, group: Group, desk: _Desk, now: datetime) -> Policy:
        """The rules of the group now, made anew when they or the time have changed."""
        fair = group.row.policy.queue == "fair-share"
        if fair and group.usage_changed and time.monotonic() - desk.usage_read_at >= _USAGE_SECONDS:
            await self._database.read(lambda connection: picture.read_usage(connection, group))
            desk.usage_read_at = time.monotonic()
        if desk.policy is None or group.rules_changed or now.timestamp() >= desk.policy_until:
            desk.policy = policy = policy_of(group.row, group.reserved, group.usage, now)
            group.rules_changed = False
            edges = [*(one.ends for one in policy.windows[:1]), *(one.ends for one in policy.reservations)]
            desk.policy_until = min(edges + ([now.timestamp() + _RULES_SECONDS] if fair else []), default=float("inf"))
        return replace(desk.policy, quotas=picture.quotas, pause=pause_of(picture.maintenance, now))

    async def _write(self, picture: Picture, desk: _Desk, batch: Batch, epoch: int, now: datetime) -> None:
        """All decisions of a pass in one transaction; then the picture shows them, too."""

        async def decide(transaction: Transaction) -> set[str]:
            await self._leadership.fence(transaction, epoch)
            placed = await queue.place(transaction, batch.placed, now) if batch.placed else set()
            if batch.giving_way:
                await queue.preempt(transaction, batch.giving_way, now)
            if batch.hopeless:
                await queue.give_up(transaction, batch.hopeless, now)
            if batch.told:
                await queue.explain(transaction, batch.told)
            return placed

        placed = await self._database.transaction(decide, "schedule")
        stale = {one.session_id for one in batch.giving_way} | {one.session_id for one in batch.hopeless}
        for one in batch.placed:
            desk.reasons.forget(one.session_id)
            if one.session_id in placed:
                picture.placed(one.session_id, one.parts, now)
            else:
                stale.add(one.session_id)  # it was stopped meanwhile
        desk.reasons.written(batch.told)
        if stale:
            await self._database.read(lambda connection: picture.read_again(connection, stale))

    async def _tell(self, desk: _Desk, epoch: int) -> None:
        """That the queue has moved on."""
        told = desk.reasons.moved_on()

        async def write(transaction: Transaction) -> None:
            await self._leadership.fence(transaction, epoch)
            await queue.explain(transaction, told)

        await self._database.transaction(write, "schedule.tell")
        desk.reasons.written(told)
        desk.told_at = time.monotonic()

    def _reasons_are_due(self, desk: _Desk) -> bool:
        """Whether the last pass was made in a hurry, without reasons, some time ago."""
        return desk.reasoned_at < desk.ended_at and time.monotonic() - desk.reasoned_at >= _MOVED_ON_SECONDS

    def _sleep_of(self, group: Group, desk: _Desk) -> float:
        """Seconds until something may be due without any event."""
        now = time.monotonic()
        rests = [_LONGEST_SLEEP, desk.next_moment - self._clock.now().timestamp()]
        if group.due:
            rests.append(desk.ended_at + _pause_after(desk.took) - now)
        if desk.reasoned_at < desk.ended_at:
            rests.append(desk.reasoned_at + _MOVED_ON_SECONDS - now)
        if desk.reasons.behind:
            rests.append(desk.told_at + _MOVED_ON_SECONDS - now)
        return max(min(rests), 0.001)


def _pause_after(took: float) -> float:
    """How long changes gather after a pass that took so long."""
    return min(took, _LONGEST_PAUSE) if took > _SLOW_SECONDS else 0.0


def next_moment(snapshot: Snapshot, policy: Policy, now: float) -> float:
    """When time alone may change what a pass decides, in seconds of the clock of the snapshot; inf: never."""
    requests = snapshot.requests
    times = [requests.start_at, requests.deadline]
    with np.errstate(invalid="ignore"):
        times.append(requests.deadline - requests.max_seconds)  # the latest start that is in time
    aging = policy.aging_seconds
    if aging and len(requests):
        # Everybody's priority rises at another moment; a little late is early enough.
        oldest = np.floor((now - requests.arrived) / aging) + 1
        times.append(np.maximum(requests.arrived + oldest * aging, now + aging / 100))
    edges = [window.ends for window in policy.windows]
    if policy.pause is not None:
        edges.append(policy.pause.ends)
    for one in policy.reservations:
        edges += [one.starts - policy.reservation_lead_seconds, one.starts, one.ends]
    times.append(np.array([edge for edge in edges if edge < np.inf], dtype=np.float64))
    return min((float(one[one > now].min()) for one in times if (one > now).any()), default=float("inf"))
