"""Devices of a container lie close to each other and break up no larger group than they need."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from madang.scheduling.room import Room
from madang.scheduling.snapshot import Device, Node, Request, Snapshot
from madang.scheduling.topology import pick
from tests.unit.scheduling.worlds import World, gpus, part_of_gpu, placements


def _node(pairs: bool = True, used: Iterable[int] = (), numa: int = 4) -> Node:
    """Eight GPUs, four on each NUMA node, linked in pairs: 0-1, 2-3 and so on."""
    devices = tuple(
        Device(at, "A100", 1000 if at in used else 0, at // numa, frozenset({at ^ 1}) if pairs else frozenset())
        for at in range(8)
    )
    return Node("n1", {}, devices={"cuda": devices})


def _given(node: Node, count: int) -> list[int]:
    placed = placements(World([node], [Request("s", {}, 1.0, claim=gpus(count))]).plan())
    return [share.index for share in placed["s"][0].shares]


@pytest.mark.parametrize(
    ("count", "used", "given"),
    [
        (2, (), [0, 1]),
        (2, (0,), [2, 3]),
        (2, (0, 2), [4, 5]),
        (4, (0,), [4, 5, 6, 7]),
        (2, (0, 2, 4, 6), [1, 3]),
        (1, (0,), [1]),
        (1, (3,), [2]),
        (3, (0,), [1, 2, 3]),
        (8, (), list(range(8))),
    ],
)
def test_linked_devices_on_one_numa_node_are_given_together(
    count: int, used: tuple[int, ...], given: list[int]
) -> None:
    assert _given(_node(used=used), count) == given


def test_without_links_one_numa_node_is_preferred() -> None:
    assert _given(_node(pairs=False, used=(0, 1)), 3) == [4, 5, 6]
    assert _given(_node(pairs=False, used=(0, 1)), 2) == [2, 3]


def test_a_part_goes_where_least_is_left() -> None:
    devices = (Device(0, "A100"), Device(1, "A100", 500), Device(2, "A100", 300), Device(3, "A100", 800))
    node = Node("n1", {}, devices={"cuda": devices})
    placed = placements(World([node], [Request("s", {}, 1.0, claim=part_of_gpu(400))]).plan())
    assert [share.index for share in placed["s"][0].shares] == [1]


def test_indices_are_those_of_the_node_whatever_their_order() -> None:
    node = Node("n1", {}, devices={"cuda": (Device(7, "A100"), Device(3, "T4"))})
    snapshot = Snapshot.of([node], [Request("s", {}, 1.0, claim=gpus(1, "A100"))])
    assert [share.index for share in pick(Room(snapshot), 0, 0)] == [7]
