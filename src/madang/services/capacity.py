"""Whether a resource group has the room for all that is reserved at the same time."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from madang.db.rows import NodeRow, ReservationRow
from madang.domain.calendar import occurrences
from madang.domain.devices import WHOLE, Claim
from madang.domain.errors import Conflict, ImpossibleRequest
from madang.domain.slots import Slots
from madang.services.cluster import schedule_of
from madang.services.possible import claim_words

_YEAR: Final = 366 * 86_400.0


def require_room(
    row: ReservationRow, others: Iterable[ReservationRow], members: Sequence[NodeRow], now: datetime
) -> None:
    """Raises ImpossibleRequest when the nodes have too little, Conflict when they have beside others at the same time.

    Weekly ones are looked at for a year, and for as long as there are others that come once.
    """
    if not _holds([row], members):
        raise ImpossibleRequest(
            f"Group '{row.resource_group}' has less than {_say(row)} in all: {_offer(row, members)}. Reserve less."
        )
    everyone = [row, *others]
    since = now.timestamp()
    ends = [one.schedule.ends_at.timestamp() for one in everyone if one.schedule.ends_at is not None]
    until = max([since + _YEAR, *ends])
    spans = sorted(
        (start, end, number)
        for number, one in enumerate(everyone)
        for start, end in occurrences(*schedule_of(one.schedule), since, until)
    )
    looked_at: set[frozenset[int]] = set()
    active: list[tuple[float, int]] = []  # a heap of what is on: until when, and who
    for start, end, number in spans:
        while active and active[0][0] <= start:
            heapq.heappop(active)
        heapq.heappush(active, (end, number))
        on = frozenset(one for _, one in active)
        if 0 not in on or on in looked_at:
            continue
        looked_at.add(on)
        if not _holds([everyone[one] for one in on], members):
            at = datetime.fromtimestamp(start, schedule_of(row.schedule)[1])
            raise Conflict(_overlap(row, [everyone[one] for one in sorted(on) if one], members, at))


def _holds(rows: Sequence[ReservationRow], members: Sequence[NodeRow]) -> bool:
    for slot in {name for row in rows for name in row.slots}:
        if sum(row.slots.get(slot, 0) for row in rows) > sum(node.slots.get(slot, 0) for node in members):
            return False
    return all(
        _devices_hold([row for row in rows if row.device_kind == kind], kind, members)
        for kind in {row.device_kind for row in rows if row.device_kind}
    )


def _devices_hold(rows: Sequence[ReservationRow], kind: str, members: Sequence[NodeRow]) -> bool:
    """Hall's condition: of any models taken together, there are as many as is wanted of them alone."""
    present = [device.model.casefold() for node in members for device in node.report.devices if device.kind == kind]
    wants = [(frozenset(model.casefold() for model in row.models or present), row.device_count) for row in rows]
    unions = {models for models, _ in wants}
    for models, _ in wants:
        unions |= {union | models for union in unions}
    return all(
        sum(count for models, count in wants if models <= union) <= sum(model in union for model in present)
        for union in unions
    )


def _claim(row: ReservationRow) -> Claim | None:
    return Claim(row.device_kind, row.device_count, WHOLE, row.models) if row.device_kind else None


def _say(row: ReservationRow) -> str:
    claim = _claim(row)
    parts = [claim_words(claim)] if claim is not None else []
    return " and ".join(parts + ([Slots(row.slots).human()] if row.slots else []))


def _offer(row: ReservationRow, members: Sequence[NodeRow]) -> str:
    """All that the group has of what is asked for."""
    parts = []
    claim = _claim(row)
    if claim is not None:
        devices = [one for node in members for one in node.report.devices if one.kind == claim.kind]
        parts.append(f"{sum(claim.allows(one.model) for one in devices)} of them")
    if row.slots:
        parts.append(Slots({slot: sum(node.slots.get(slot, 0) for node in members) for slot in row.slots}).human())
    return " and ".join(parts)


def _overlap(row: ReservationRow, active: Sequence[ReservationRow], members: Sequence[NodeRow], at: datetime) -> str:
    kept = "; ".join(f"'{one.name}' keeps {_say(one)}" for one in active)
    return (
        f"At {at:%Y-%m-%d %H:%M} {kept}. With {_say(row)} for '{row.name}' that is more than group "
        f"'{row.resource_group}' has ({_offer(row, members)}). Choose another time, or reserve less."
    )
