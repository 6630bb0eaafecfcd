"""Quotas during a pass: who may hold how much more, after every placement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from madang.domain.devices import device_word, is_device_slot, shares_slot
from madang.domain.slots import format_amount
from madang.domain.why import Value, Why, WhyCode
from madang.scheduling.quotas import Quotas, Subject, subjects_of
from madang.scheduling.snapshot import Snapshot


@dataclass(slots=True)
class _Limit:
    """What a subject may hold of a slot, holds, and is promised for sessions that others give way to."""

    subject: Subject
    slot: str
    most: int
    held: int
    kept: int = 0


class Accounts:
    """What everybody with a quota holds, may hold, and is promised. Rows are those of the snapshot's requests."""

    def __init__(self, snapshot: Snapshot, quotas: Quotas) -> None:
        self._snapshot = snapshot
        self._quotas = quotas
        self._asked: dict[int, Mapping[str, int]] = {}  # by form
        self._of: dict[tuple[str, str, str], Sequence[_Limit]] = {}  # by user, project and domain, the narrowest first
        self._subjects: dict[Subject, Sequence[_Limit]] = {}
        self._promised: set[int] = set()
        self._told: dict[tuple[int, str, str, str, bool], Why] = {}

    def short(self, row: int) -> bool:
        """Whether somebody would hold more than allowed if the row started now."""
        if row in self._promised:
            return False
        asked = self._all_of(row)
        return any(_lacks(one, asked) for one in self._limits(row))

    def take(self, row: int) -> None:
        """The row starts."""
        asked = self._all_of(row)
        for one in self._limits(row):
            amount = asked.get(one.slot, 0)
            one.held += amount
            if row in self._promised:
                one.kept -= amount
        self._promised.discard(row)

    def promise(self, row: int) -> None:
        """The row, which is not short, does not start yet, but nobody else may be given in this pass what it is to get.

        Otherwise sessions would have been stopped for one that then may not start.
        """
        if row in self._promised:
            return
        asked = self._all_of(row)
        for one in self._limits(row):
            one.kept += asked.get(one.slot, 0)
        self._promised.add(row)

    def why(self, row: int, *, far: bool = False) -> Why:
        """At the end of a pass, by whose quota a row that is short waits: of several, the narrowest one.

        `far` back it is not told how much is held, which changes all the time, and everybody's reason with it.
        """
        request = self._snapshot.requests.rows[row]
        key = self._snapshot.requests.form.item(row), request.user, request.project, request.domain, far
        if key not in self._told:
            self._told[key] = self._why(row, far=far)
        return self._told[key]

    def _why(self, row: int, *, far: bool) -> Why:
        asked = self._all_of(row)
        short = [one for one in self._limits(row) if _lacks(one, asked)]
        subject = short[0].subject
        short = sorted(
            (one for one in short if one.subject == subject), key=lambda one: (not is_device_slot(one.slot), one.slot)
        )
        values: dict[str, Value] = {
            "subject": subject.kind,
            "name": subject.name,
            **({"project": subject.project} if subject.project else {}),
            "slots": _written((one.slot, asked[one.slot]) for one in short),
            "slots_allowed": _written((one.slot, one.most) for one in short),
        }
        if not far:
            values["slots_held"] = _written((one.slot, one.held) for one in short)
            if any(one.kept for one in short):
                values["slots_kept"] = _written((one.slot, one.kept) for one in short if one.kept)
        return Why(WhyCode.QUOTA, values)

    def _limits(self, row: int) -> Sequence[_Limit]:
        request = self._snapshot.requests.rows[row]
        key = request.user, request.project, request.domain
        known = self._of.get(key)
        if known is None:
            known = self._of[key] = [one for subject in subjects_of(request) for one in self._limits_of(subject)]
        return known

    def _limits_of(self, subject: Subject) -> Sequence[_Limit]:
        known = self._subjects.get(subject)
        if known is None:
            held, allowed = self._quotas.held.held(subject), self._quotas.allowed.get(subject, {})
            known = [_Limit(subject, slot, most, held.get(slot, 0)) for slot, most in allowed.items()]
            self._subjects[subject] = known
        return known

    def _all_of(self, row: int) -> Mapping[str, int]:
        """What all containers of a row ask for together, without zeros."""
        number = self._snapshot.requests.form.item(row)
        known = self._asked.get(number)
        if known is None:
            form = self._snapshot.forms[number]
            shape = self._snapshot.shapes[form.shape]
            amounts = {slot: amount * form.size for slot, amount in shape.slots.items() if amount}
            if shape.claim is not None:
                amounts[shares_slot(shape.claim.kind)] = shape.claim.total * form.size
            known = self._asked[number] = amounts
        return known


def _lacks(limit: _Limit, asked: Mapping[str, int]) -> bool:
    more = asked.get(limit.slot)
    return more is not None and limit.held + limit.kept + more > limit.most


def _written(amounts: Iterable[tuple[str, int]]) -> str:
    """`2 GPU, 8g mem`."""
    return ", ".join(f"{format_amount(slot, amount)} {_word(slot)}" for slot, amount in amounts)


def _word(slot: str) -> str:
    return device_word(slot.rpartition(".")[0]) if is_device_slot(slot) else slot
