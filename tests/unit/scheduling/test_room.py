"""What fits is told as a bookkeeper would count it, also after others have taken room."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from madang.scheduling.holds import Amount, Hold, Rooms
from madang.scheduling.placement.pack import PackPlacement
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Part
from madang.scheduling.topology import pick
from tests.unit.scheduling.worlds import Ledger, World, worlds


@given(worlds(plain=True), st.sampled_from([1, 3, 256]))
@settings(max_examples=60, deadline=None)
def test_what_fits_is_what_a_bookkeeper_counts_after_every_container(world: World, remembered: int) -> None:
    """However few shapes the room remembers at a time."""
    with patch("madang.scheduling.room._SHAPES", remembered), patch("madang.scheduling.room._LEAST", 1):
        snapshot, ledger = world.snapshot(), Ledger(world.nodes, world.running)
        room = Room(snapshot)
        for at, request in enumerate(snapshot.requests.rows):
            for other, asked in enumerate(snapshot.requests.rows):
                shape = snapshot.forms[int(snapshot.requests.form[other])].shape
                expected = [ledger.count(asked, name) for name in snapshot.nodes]
                assert [min(int(count), 99) for count in room.counts(shape)] == expected
                assert room.fitting(shape).tolist() == [count > 0 for count in expected]
            shape = snapshot.forms[int(snapshot.requests.form[at])].shape
            for node in room.fitting(shape).nonzero()[0].tolist()[:1]:
                shares = pick(room, shape, node)
                room.take(shape, node, shares)
                kind = request.claim.kind if request.claim else ""
                ledger.place(request, [Part(snapshot.nodes[node], snapshot.shapes[shape].slots, kind, shares)])


@given(worlds(plain=True))
@settings(max_examples=40, deadline=None)
def test_a_node_of_which_all_is_kept_holds_nothing_for_those_who_are_bound(world: World) -> None:
    snapshot = world.snapshot()
    rooms = Rooms(snapshot, PackPlacement())
    if not snapshot.nodes:
        return
    slots = snapshot.capacity[:, 0].copy()
    devices = {kind: columns.present[0] * 1000 for kind, columns in snapshot.devices.items()}
    free = Amount(slots.copy(), {kind: milli.copy() for kind, milli in devices.items()})
    rooms.keep(Hold("somebody", float("inf"), {0: Amount(slots, devices)}, {0: free}))
    for number, form in enumerate(snapshot.forms):
        bound, unbound = rooms.room(1).fitting(form.shape), rooms.room(0).fitting(form.shape)
        shape = snapshot.shapes[snapshot.forms[number].shape]
        assert not bound[0] or (shape.claim is None and not shape.slots)
        assert (bound[1:] == unbound[1:]).all()
