"""What is told to those who keep waiting after a pass."""

from __future__ import annotations

from madang.domain.why import Value, Why, WhyCode
from madang.scheduling.decisions import Wait
from madang.scheduling.ends import NEVER
from madang.scheduling.explain import EXACT
from madang.scheduling.forecast import forecast
from madang.scheduling.serving import Serving


def waits(serving: Serving) -> list[Wait]:
    """A reason for everybody who waits, in the order of the queue, then for those who would take somebody beyond a
    quota, and then for those whom no node could hold."""
    snapshot, explainer, of = serving.snapshot, serving.explainer, len(serving.waiting)
    starts = _starts(serving)
    found = []
    for place, row in enumerate(serving.waiting, start=1):
        why, told, length = explainer.why(serving.form[row], serving.mask[row], place, of)
        if row in serving.giving_way:
            values: dict[str, Value] = {
                "group": serving.policy.group,
                "count": serving.giving_way[row],
                "position": told,
                "of": length,
            }
            why = Why(WhyCode.PREEMPTING, values)
        found.append(Wait(snapshot.requests.rows[row].id, why, told, length, starts.get(row)))
    for place, row in enumerate(serving.over_quota, start=1):
        assert serving.accounts is not None  # noqa: S101 - that is how it came here
        why = serving.accounts.why(row, far=place > EXACT)
        found.append(Wait(snapshot.requests.rows[row].id, why, 0, 0, None))
    for row in serving.hopeless:
        impossible = serving.impossible(row)
        assert impossible is not None  # noqa: S101 - that is how it came here
        found.append(Wait(snapshot.requests.rows[row].id, impossible, 0, 0, None))
    return found


def _starts(serving: Serving) -> dict[int, float]:
    """When those at the front of the queue, and those for whom room is kept, will probably start."""
    if not serving.waiting:
        return {}
    kept = {row: serving.rooms.holds[number] for row, number in serving.kept.items()}
    reserved = [hold for hold in serving.rooms.holds if hold.reserved]
    starts = forecast(
        serving.snapshot,
        serving.rooms.base,
        serving.timeline().behind(reserved),
        serving.waiting[:EXACT],
        kept,
        strict=not serving.policy.backfill,
    )
    # Somebody who should have ended already may do so at any moment: that is no time to tell.
    return {row: start for row, start in {**starts, **serving.starts}.items() if serving.now < start < NEVER}
