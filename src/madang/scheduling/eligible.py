"""Who may be served now at all: times asked for, the calendar, sessions to wait for, and deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from madang.domain.session import SessionKind
from madang.domain.why import Value, Why, WhyCode
from madang.scheduling.columns import KINDS
from madang.scheduling.decisions import Expire, Wait
from madang.scheduling.policy import Policy, Window
from madang.scheduling.queue.base import Line
from madang.scheduling.snapshot import Amounts, Flags, Snapshot


@dataclass(slots=True)
class Gate:
    """Who may be served now; who waits for something else than room; who waits in vain."""

    line: Line
    waits: list[Wait] = field(default_factory=list)
    expired: list[Expire] = field(default_factory=list)


def gate(snapshot: Snapshot, now: float, policy: Policy, *, reasons: bool) -> Gate:
    """Look at every request; without `reasons` those who wait are left out silently."""
    requests = snapshot.requests
    if not len(requests):
        return Gate(Line(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)))
    if _unconditional(snapshot, now, policy):
        every = np.arange(len(requests))
        return Gate(Line(every, _levels(snapshot, every, now, policy)))
    late = _late(snapshot, now)
    early = requests.start_at > now
    window = next((one for one in policy.windows if one.starts <= now < one.ends), None)
    outside = None if window is None else ~_admitted(snapshot, window)
    barred = late | early | requests.blocked
    if outside is not None:
        barred |= outside
    pause = policy.pause if policy.pause is not None and now < policy.pause.ends else None
    if pause is not None:
        barred |= True
    rows = np.flatnonzero(~barred)
    found = Gate(Line(rows, _levels(snapshot, rows, now, policy)))
    for row in np.flatnonzero(barred).tolist():
        request = requests.rows[row]
        if request.blocked_by is not None and request.blocked_by.code is WhyCode.DEPENDENCY_FAILED:
            found.expired.append(Expire(request.id, request.blocked_by))
        elif late[row]:
            found.expired.append(Expire(request.id, Why(WhyCode.DEADLINE, {"time": when(requests.deadline[row])})))
        elif reasons and pause is not None:
            found.waits.append(Wait(request.id, pause.why, 0, 0, None))
        elif reasons:
            found.waits.append(_wait(snapshot, row, now, policy, window))
    return found


def _unconditional(snapshot: Snapshot, now: float, policy: Policy) -> bool:
    """Whether nobody's turn depends on anything: the usual case, told quickly."""
    requests = snapshot.requests
    return bool(
        not policy.windows
        and (policy.pause is None or now >= policy.pause.ends)
        and requests.start_at.max() <= now
        and requests.deadline.min() == np.inf
        and not requests.blocked.any()
    )


def _late(snapshot: Snapshot, now: float) -> Flags:
    """Who would not be done by the deadline even when started as soon as it may; unknown run times count as none."""
    requests = snapshot.requests
    needed = np.where(np.isfinite(requests.max_seconds), requests.max_seconds, 0)
    late: Flags = np.maximum(requests.start_at, now) + needed > requests.deadline
    return late


def _levels(snapshot: Snapshot, rows: Amounts, now: float, policy: Policy) -> Amounts:
    """The priority of everybody as it counts now: one step more for each so long waited, but never above the highest
    that anybody in the queue was given. So the low ones catch up, and among equals the queue policy keeps its say.

    Where running batch sessions give way to interactive ones, so do waiting ones of the same priority: otherwise they
    would take the room that is made.
    """
    priority = snapshot.requests.priority[rows]
    levels: Amounts = priority
    if policy.aging_seconds > 0 and len(rows) and priority.min() != priority.max():
        waited = np.maximum(now - snapshot.requests.arrived[rows], 0)
        aged = priority + np.minimum(waited // policy.aging_seconds, 1 << 20).astype(np.int64)
        levels = np.minimum(aged, priority.max())
    if policy.preemption:
        levels = 2 * levels + (snapshot.requests.kind[rows] == KINDS.index(SessionKind.INTERACTIVE))
    return levels


def _admitted(snapshot: Snapshot, window: Window) -> Flags:
    """Whom a window of the calendar lets start, shape (P,). Who asks for no device is no matter of its GPU rule."""
    kinds = np.array([not window.kinds or kind in window.kinds for kind in KINDS])
    forms = np.array(
        [_form_admitted(snapshot, number, window) for number in range(len(snapshot.forms))], dtype=np.bool_
    )
    return kinds[snapshot.requests.kind] & forms[snapshot.requests.form]


def _form_admitted(snapshot: Snapshot, number: int, window: Window) -> bool:
    claim = snapshot.shapes[snapshot.forms[number].shape].claim
    return claim is None or window.gpus == "any" or (window.gpus == "whole") == claim.whole


def _wait(snapshot: Snapshot, row: int, now: float, policy: Policy, window: Window | None) -> Wait:
    request = snapshot.requests.rows[row]
    if request.blocked_by is not None:
        return Wait(request.id, request.blocked_by, 0, 0, None)
    if request.start_at is not None and request.start_at > now:
        why = Why(WhyCode.NOT_BEFORE, {"time": when(request.start_at)})
        return Wait(request.id, why, 0, 0, request.start_at)
    assert window is not None  # noqa: S101 - nothing else bars a request
    opens = _opens(snapshot, row, policy.windows, window.ends)
    values: dict[str, Value] = {"group": policy.group, "window": window.name, "until": when(window.ends)}
    return Wait(request.id, Why(WhyCode.CALENDAR, values), 0, 0, opens)


def _opens(snapshot: Snapshot, row: int, windows: Sequence[Window], since: float) -> float | None:
    """When a window begins that lets the request start; None when none of those that are known does."""
    kind: SessionKind = KINDS[int(snapshot.requests.kind[row])]
    form = int(snapshot.requests.form[row])
    for window in sorted(windows, key=lambda one: one.starts):
        kinds = not window.kinds or kind in window.kinds
        if window.starts >= since and kinds and _form_admitted(snapshot, form, window):
            return window.starts
    return None


def when(seconds: float) -> str:
    """A time for people."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "?"
