"""What users, projects and domains may hold of slots, and what they hold, in all resource groups together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from madang.domain.devices import shares_slot
from madang.scheduling.rows import Request, Running


class Subject(NamedTuple):
    """Who holds something: a user, a project, a domain, or a `member`: a user in one project only."""

    kind: Literal["user", "project", "domain", "member"]
    name: str  # of a member: of the user
    project: str = ""  # of a member


def subjects_of(one: Request | Running) -> tuple[Subject, ...]:
    """Who holds what a session holds, the narrowest first; who has no name counts nowhere."""
    found = [Subject("user", one.user), Subject("project", one.project), Subject("domain", one.domain)]
    if one.user and one.project:
        found.insert(0, Subject("member", one.user, one.project))
    return tuple(subject for subject in found if subject.name)


def held_by(running: Running) -> dict[str, int]:
    """What a session holds of every slot, wherever; devices as `<kind>.shares`, in thousandths."""
    held: dict[str, int] = {}
    for part in running.parts:
        for slot, amount in part.slots.items():
            held[slot] = held.get(slot, 0) + amount
        if part.shares:
            slot = shares_slot(part.kind)
            held[slot] = held.get(slot, 0) + sum(share.milli for share in part.shares)
    return held


class Tally:
    """What everybody holds, kept up to date session by session. Each session has to be counted once, whatever groups
    its nodes are in."""

    def __init__(self) -> None:
        self._held: dict[Subject, Mapping[str, int]] = {}  # an amount is only ever replaced as a whole

    @classmethod
    def of(cls, running: Iterable[Running]) -> Tally:
        """What these sessions hold."""
        tally = cls()
        for one in running:
            tally.start(one)
        return tally

    def start(self, running: Running) -> None:
        """A session that is not counted takes its room."""
        self._add(running, 1)

    def end(self, running: Running) -> None:
        """A session gives back its room; it is given just as it was counted."""
        self._add(running, -1)

    def held(self, subject: Subject) -> Mapping[str, int]:
        """By slot, without zeros."""
        return self._held.get(subject, {})

    def copy(self) -> Tally:
        """One in which later changes do not show."""
        other = Tally()
        other._held = self._held.copy()
        return other

    def everything(self) -> Mapping[Subject, Mapping[str, int]]:
        """What all of them hold who hold anything."""
        return self._held.copy()

    def _add(self, running: Running, sign: int) -> None:
        more = held_by(running)
        for subject in subjects_of(running):
            before = self._held.get(subject, {})
            after = {slot: before.get(slot, 0) + sign * more.get(slot, 0) for slot in before.keys() | more.keys()}
            if after := {slot: amount for slot, amount in after.items() if amount}:
                self._held[subject] = after
            else:
                self._held.pop(subject, None)


@dataclass(frozen=True, slots=True)
class Quotas:
    """What subjects may hold of slots at once, and what all hold now, in all resource groups together, that of the
    pass included. A subject or a slot that is missing in `allowed` may be held without end; devices are
    `<kind>.shares`, in thousandths.
    """

    allowed: Mapping[Subject, Mapping[str, int]] = field(default_factory=dict)
    held: Tally = field(default_factory=Tally)
