"""One pass over the queue: who starts where, for whom room is kept, and who gives way."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from madang.domain.devices import Share
from madang.domain.session import SessionKind
from madang.domain.why import Why
from madang.scheduling.accounts import Accounts
from madang.scheduling.backfill import keep_for
from madang.scheduling.decisions import Placement, Preempt
from madang.scheduling.ends import NEVER
from madang.scheduling.explain import Explainer, has_room
from madang.scheduling.gang import Spot, Take, place, place_on
from madang.scheduling.holds import Hold, Rooms
from madang.scheduling.placement.base import PlacementPolicy
from madang.scheduling.policy import Policy
from madang.scheduling.preempt import Preemption
from madang.scheduling.queue.base import Line, QueuePolicy, Turn
from madang.scheduling.reserve import carve, kept_now
from madang.scheduling.snapshot import Flags, Part, Snapshot, Times
from madang.scheduling.timeline import Begun, Timeline

_PROTECTED: Final = 3
"""For so many waiting sessions at most room is kept: the first of the queue, and the oldest ones."""

_MAKING_ROOM: Final = 32
_MAKING_ROOM_ANEW: Final = 8
"""For so many sessions at most others give way at the same time, and begin to in one pass; the next ones have their
turn afterwards."""

_FEW: Final = 64  # so many placements are told to a timeline one by one; after more of them it is made anew


class Serving:
    """The state of one pass. Rows are those of the snapshot's requests."""

    def __init__(self, snapshot: Snapshot, line: Line, now: float, policy: Policy, placement: PlacementPolicy) -> None:
        self.snapshot = snapshot
        self.now = now
        self.policy = policy
        self.rooms = Rooms(snapshot, placement)
        self.explainer = Explainer(self.rooms, policy.group)
        self.placements: list[Placement] = []
        self.preempted: list[Preempt] = []
        self.waiting: list[int] = []  # in the order of the queue
        self.hopeless: list[int] = []  # whom the nodes could not hold even if nothing ran there
        self.over_quota: list[int] = []  # with whom somebody would hold more than allowed
        self.accounts = Accounts(snapshot, policy.quotas) if policy.quotas.allowed else None
        self.kept: dict[int, int] = {}  # the hold that is for a row
        self.starts: dict[int, float] = {}  # when it can start there
        self.giving_way: dict[int, int] = {}  # how many sessions make room for a row
        self.form: list[int] = snapshot.requests.form.tolist()
        self.mask: list[int] = [0] * len(self.form)  # the holds that bind a row
        self._line = line
        self._ends: Times = now + snapshot.requests.max_seconds
        self._preemption = Preemption(snapshot, now)
        self._members: dict[int, Flags] = {}  # of reservations, by their holds
        self._full: set[int] = set()  # forms that fit nowhere any more
        self._dead: set[tuple[int, int]] = set()  # the same, for those whom some holds bind
        self._vain: set[tuple[int, int, int]] = set()  # the same, with a priority: for whom nobody can give way
        self._begun: list[Begun] = []
        self._due: list[tuple[int, Flags]] = []  # for whom room has to be kept from these before any more is given
        self._forms: int | None = None  # how many there are in the line
        self._holdings = snapshot.holdings  # with the ends of those who give way
        self._timeline: Timeline | None = None
        self._anew = 0  # for how many somebody begins to give way in this pass
        self._told = 0  # how many of the begun it knows of

    def serve(self, queue: QueuePolicy, *, reasons: bool) -> None:
        """Give everybody in turn what there is. Without `reasons` who waits, and for when, is not found out in full."""
        turn = queue.begin(self.snapshot, self._line, self.now, self.policy)
        self._keep_first(turn, by_arrival=queue.by_arrival)
        stopped = False
        while (row := turn.next()) is not None:
            if self._short(row):
                self._pass_over(row)
                continue
            spots = self._place_kept(row) if row in self.kept else None
            tried = spots is not None or not (stopped or self._known_full(row))
            if spots is None and tried:
                spots = self._place(row)
            if spots is not None:
                turn.placed(row)
                self._write_down(row, spots)
                continue
            if self._put_off(row):
                if tried:
                    stopped = not self.policy.backfill
                    self._blocked(row)
                elif not stopped:
                    self._preempt(row)
            if tried and not reasons and self._all_full():
                break
        if reasons:
            self._keep_due()

    def timeline(self) -> Timeline:
        """Room over time from what is free now."""
        known, told = self._timeline, len(self._begun) - self._told
        if known is None or told > _FEW:
            known = Timeline(self.rooms.base, self.now, self._begun, self._holdings)
        else:
            for one in self._begun[self._told :]:
                known.begin(one)
        self._timeline, self._told = known, len(self._begun)
        return known

    def impossible(self, row: int) -> Why | None:
        """Why the nodes could never hold a row; None when they could."""
        return self.explainer.impossible(self.form[row])

    # What happens to one row

    def _take(self, row: int) -> Take:
        ends, reservation = float(self._ends[row]), self.snapshot.requests.rows[row].reservation

        def take(shape: int, node: int, shares: tuple[Share, ...]) -> None:
            self.rooms.take(shape, node, shares, ends, reservation)

        return take

    def _known_full(self, row: int) -> bool:
        return self.form[row] in self._full or (self.form[row], self.mask[row]) in self._dead

    def _all_full(self) -> bool:
        """Whether no more can be decided in this pass."""
        if self._forms is None:
            self._forms = len(np.unique(self.snapshot.requests.form[self._line.rows]))
        return len(self._full) == self._forms and not self.policy.preemption

    def _place(self, row: int) -> list[Spot] | None:
        number = self.form[row]
        form = self.snapshot.forms[number]
        if self._due or self.mask[row]:
            if not has_room(form, self.rooms.base):
                self._full.add(number)
                return None
            self._keep_due()
            if row in self.kept and (spots := self._place_kept(row)) is not None:
                return spots
        mask = self.mask[row]
        spots = place(form, self.rooms.room(mask), self.rooms.chooser(mask), self._take(row))
        if spots is None:
            self._dead.add((number, mask))
            if not mask:
                self._full.add(number)
        return spots

    def _place_kept(self, row: int) -> list[Spot] | None:
        """Place a row on the room that is kept for it, if that is free already."""
        if self.starts[row] > self.now:
            return None
        hold, mask = self.rooms.holds[self.kept[row]], self.mask[row]
        form = self.snapshot.forms[self.form[row]]
        return place_on(hold.nodes, form, self.rooms.room(mask), self.rooms.chooser(mask), self._take(row))

    def _write_down(self, row: int, spots: list[Spot]) -> None:
        snapshot, shape = self.snapshot, self.snapshot.forms[self.form[row]].shape
        asked = snapshot.shapes[shape]
        kind = asked.claim.kind if asked.claim else ""
        parts = tuple([Part(snapshot.nodes[node], asked.slots, kind, shares) for node, shares in spots])
        self.placements.append(Placement(snapshot.requests.rows[row].id, parts))
        if self.accounts is not None:
            self.accounts.take(row)
        self._release(row)
        ends = float(self._ends[row])
        self._begun += [Begun(shape, node, shares, ends) for node, shares in spots]

    def _short(self, row: int) -> bool:
        return self.accounts is not None and self.accounts.short(row)

    def _pass_over(self, row: int) -> None:
        """Somebody would hold more than allowed: the row waits, but not in the queue, and no room is kept for it."""
        self._due = [one for one in self._due if one[0] != row]
        self._release(row)
        (self.over_quota if self.impossible(row) is None else self.hopeless).append(row)

    def _put_off(self, row: int) -> bool:
        """The row keeps waiting; returns whether it does so in the queue: what could never be placed blocks nobody."""
        if self.impossible(row) is not None:
            self.hopeless.append(row)
            return False
        self.waiting.append(row)
        return True

    def _blocked(self, row: int) -> None:
        """There is no room for a row whose turn it is: room is kept for it, as soon as somebody could take it."""
        if self._preempt(row) or not self.policy.backfill:
            return
        if len(self.waiting) == 1:
            # Nobody who comes after the head of the queue may delay it.
            self._due.append((row, np.ones(len(self.mask), dtype=np.bool_)))
        elif row not in self.kept and len(self.kept) + len(self._due) < _PROTECTED and row == min(self.waiting):
            self._due.append((row, self._younger(row)))

    def _keep_due(self) -> None:
        due, self._due = self._due, []
        for row, others in due:
            self._keep(row, others)

    def _preempt(self, row: int) -> bool:
        """Let others give way to an interactive session; returns whether they do."""
        request = self.snapshot.requests.rows[row]
        if not self.policy.preemption or request.kind is not SessionKind.INTERACTIVE:
            return False
        key = self.form[row], self.mask[row], request.priority
        if row in self.giving_way or key in self._vain:
            return False
        if (
            len(self.giving_way) >= _MAKING_ROOM
            or len({one.for_session for one in self.preempted}) >= _MAKING_ROOM_ANEW
        ):
            return False
        self._keep_due()
        form, soon = self.snapshot.forms[key[0]], self.now + self.policy.grace_seconds
        left = self.timeline().behind(self.rooms.binding(key[1]))
        # Nobody leaves for who will have room before anybody could have left.
        late = left.earliest(form)[0] > soon
        found = self._preemption.victims(request, form, self.rooms.base, left) if late else None
        if found is None:
            self._vain.add(key)
            return False
        self.preempted += [Preempt(one, request.id, self.policy.grace_seconds) for one in found.sessions]
        self.giving_way[row] = len(found.sessions)
        if self.accounts is not None:
            self.accounts.promise(row)
        self._anew += 1
        timeline = self.timeline()
        for one in found.freed:
            one.give_back(timeline, soon)
        leaving = np.isin(self._holdings.session, found.numbers)
        self._holdings = replace(self._holdings, ends=np.where(leaving, soon, self._holdings.ends))
        self._keep(row, np.ones(len(self.mask), dtype=np.bool_))
        return True

    # What is kept

    def _keep_first(self, turn: Turn, *, by_arrival: bool) -> None:
        """Keep the room of reservations, of those for whom others give way, and of who has waited longest in vain."""
        if reservations := kept_now(self.policy, self.now):
            named = [one.reservation for one in self.snapshot.requests.rows]
            for hold in carve(reservations, self.timeline()):
                others = np.array([name != hold.owner for name in named], dtype=np.bool_)
                self._members[self._bind(None, hold, NEVER, others)] = ~others
        if self.snapshot.giving_way or self.snapshot.gave_way:
            self._keep_for_preempting()
        if not by_arrival:
            self._keep_for_oldest(turn)

    def _keep_for_preempting(self) -> None:
        """Who others make room for, or have made it, gets it before anybody else does."""
        leaving, left = self.snapshot.giving_way, self.snapshot.gave_way
        for row in self._line.rows.tolist():
            name = self.snapshot.requests.rows[row].id
            if (name in leaving or name in left) and self.impossible(row) is None and not self._short(row):
                if name in leaving:
                    self.giving_way[row] = leaving[name]
                if self.accounts is not None:
                    self.accounts.promise(row)
                self._keep(row, np.ones(len(self.mask), dtype=np.bool_))

    def _keep_for_oldest(self, turn: Turn) -> None:
        """Under a policy that does not go by arrival, others might for ever start in the place of a large session: so
        once somebody has waited for long, there is room kept for the oldest one to whom the policy owes any.

        Also when it could start at once, or others would take the room on the very day on which it is enough. Who is
        older, or of higher priority, may go first nevertheless.
        """
        patience = self.policy.aging_seconds
        if patience <= 0:
            return
        rows = self._line.rows
        waited = self.now - self.snapshot.requests.arrived[rows] >= patience
        for row in rows[waited].tolist():
            if self.impossible(row) is None and not self._short(row) and turn.owed(row):
                if row not in self.kept:
                    self._due.append((row, self._younger(row)))
                return

    def _younger(self, row: int) -> Flags:
        """Who came after a row and is of no higher priority."""
        found = np.zeros(len(self.mask), dtype=np.bool_)
        line = self._line
        at = int(np.searchsorted(line.rows, row))
        found[line.rows[at + 1 :]] = line.level[at + 1 :] <= line.level[at]
        return found

    def _keep(self, row: int, others: Flags) -> None:
        """Keep room for a row from others, on which it can start as early as possible; anew if it has some already."""
        before = self.kept.get(row)
        own = 0 if before is None else 1 << before
        form, owner = self.snapshot.forms[self.form[row]], self.snapshot.requests.rows[row].id
        binding = self.rooms.binding(self.mask[row] & ~own)
        hold, start = keep_for(owner, form, self.rooms.base, self.timeline(), binding)
        self._bind(row, hold, start, others)

    def _bind(self, row: int | None, hold: Hold, start: float, others: Flags) -> int:
        """From now on a hold binds others than the row it is for, unless they will certainly have ended by then.

        Returns the number of the hold.
        """
        if row is not None and row in self.kept:
            number = self.kept[row]
            self.rooms.replace(number, hold)
        else:
            number = self.rooms.keep(hold)
        bound = others & (self._ends > hold.starts)
        if row is not None:
            self.kept[row] = number
            self.starts[row] = start
            bound[row] = False
            # Who had room kept before keeps it: this hold has been made beside it, if that one binds the row.
            for other, before in self.kept.items():
                bound[other] &= not self.mask[row] >> before & 1
            # Nor is room of a reservation, which the row may only hope to get after it, kept from the members.
            for before, members in self._members.items():
                if self.mask[row] >> before & 1 and self.rooms.holds[before].need.keys() & hold.need.keys():
                    bound &= ~members
        self._unbind(number)
        bit = 1 << number
        for other in np.flatnonzero(bound).tolist():
            self.mask[other] |= bit
        return number

    def _release(self, row: int) -> None:
        """No room is kept for a row any more, if any was."""
        if row in self.kept:
            number = self.kept.pop(row)
            self._unbind(number)
            self.rooms.release(number)

    def _unbind(self, number: int) -> None:
        """A hold binds nobody any more."""
        rest = ~(1 << number)
        self.mask = [mask & rest for mask in self.mask]
