"""What is usually asked for is learnt from what is asked."""

from __future__ import annotations

from madang.domain.devices import Share
from madang.scheduling.demand import Demand, DemandCounter
from madang.scheduling.snapshot import Part, Request, Running
from tests.unit.scheduling.worlds import gpus, part_of_gpu


def usual(demand: Demand) -> dict[tuple[int, int], float]:
    return {(ask.count, ask.milli): weight for ask, weight in zip(demand.asks, demand.weights, strict=True)}


def test_containers_with_devices_are_counted_and_others_are_not() -> None:
    requests = [
        Request("a", {"cpu": 1}, 0.0, claim=part_of_gpu(300)),
        Request("b", {"cpu": 1}, 0.0, claim=part_of_gpu(300)),
        Request("c", {"cpu": 1}, 0.0, claim=gpus(2), size=4),
        Request("d", {"cpu": 9}, 0.0),
    ]
    running = [Running("e", (Part("n", {"cpu": 1}, "cuda", (Share(0, 1000), Share(1, 1000))), Part("n", {"cpu": 5})))]
    found = Demand.of(requests, running)
    assert usual(found) == {(1, 300): 2.0, (2, 1000): 5.0}
    assert Demand.of(reversed(requests), running).asks == found.asks


def test_it_is_said_anew_only_when_it_has_changed_much() -> None:
    counter = DemandCounter()
    for at in range(100):
        counter.asked(Request(f"a{at}", {}, 0.0, claim=gpus(1)))
    first = counter.demand()
    counter.asked(Request("b", {}, 0.0, claim=part_of_gpu(500)))
    assert counter.demand() is first
    for at in range(200):
        counter.asked(Request(f"c{at}", {}, 0.0, claim=part_of_gpu(500)))
    assert usual(counter.demand()) == {(1, 1000): 100.0, (1, 500): 201.0}


def test_old_times_fade() -> None:
    counter = DemandCounter()
    for at in range(9000):
        counter.asked(Request(f"a{at}", {}, 0.0, claim=gpus(1)))
    for at in range(100_000):
        counter.asked(Request(f"b{at}", {}, 0.0, claim=part_of_gpu(500)))
    found = usual(counter.demand())
    assert found.get((1, 1000), 0.0) < 0.01 * found[1, 500]
    assert sum(found.values()) < 10_000
