"""Small clusters of every kind, and a bookkeeper that knows nothing of the scheduler's columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from madang.domain.devices import WHOLE, Claim
from madang.domain.session import Layout, SessionKind
from madang.scheduling.decisions import Decision, Placement
from madang.scheduling.plan import plan
from madang.scheduling.policy import Policy, Queue
from madang.scheduling.snapshot import Device, Node, Part, Request, Running, Snapshot

MODELS = ("A100", "H100", "T4")
QUEUES: tuple[Queue, ...] = ("fifo", "lifo", "drf", "fair-share")


@dataclass
class World:
    """A resource group at a moment."""

    nodes: list[Node] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        return Snapshot.of(self.nodes, self.requests, self.running)

    def plan(self, now: float = 100.0, policy: Policy = Policy()) -> list[Decision]:
        return plan(self.snapshot(), now, policy)


def gpu_node(name: str, count: int = 4, model: str = "A100", cpu: int = 64_000, **more: int) -> Node:
    """A node with so many GPUs."""
    return Node(name, {"cpu": cpu, **more}, devices={"cuda": tuple(Device(at, model) for at in range(count))})


def gpus(count: int, *models: str) -> Claim:
    """So many whole GPUs."""
    return Claim("cuda", count, WHOLE, models)


def part_of_gpu(milli: int, *models: str) -> Claim:
    """Thousandths of one GPU."""
    return Claim("cuda", 1, milli, models)


def run(request: Request, parts: tuple[Part, ...], now: float, ends: float | None = None) -> Running:
    """A request that has got its room."""
    known = now + request.max_seconds if request.max_seconds is not None else None
    return Running(
        request.id,
        parts,
        request.user,
        request.project,
        request.kind,
        request.priority,
        now,
        known if ends is None else ends,
        preemptible=request.kind is SessionKind.BATCH,
        reservation=request.reservation,
        domain=request.domain,
    )


def slots() -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries({"cpu": st.integers(0, 8)}, optional={"mem": st.integers(0, 4)})


def claims() -> st.SearchStrategy[Claim | None]:
    models = st.sampled_from([(), (), ("A100",), ("A100", "T4")])
    return st.one_of(
        st.none(),
        st.builds(Claim, st.sampled_from(["cuda", "cuda", "tpu"]), st.integers(1, 3), st.just(WHOLE), models),
        st.builds(Claim, st.just("cuda"), st.just(1), st.sampled_from([200, 300, 500, 700]), models),
    )


@st.composite
def nodes(draw: st.DrawFn, most: int = 5) -> list[Node]:
    found = []
    for number in range(draw(st.integers(0, most))):
        capacity = {"cpu": draw(st.integers(0, 12)), "mem": draw(st.integers(0, 8))}
        # Somebody else may hold more than there is, after a node shrank.
        used = {"cpu": draw(st.sampled_from([0, 0, 1, 13]))}
        devices = {
            kind: tuple(
                Device(
                    index,
                    draw(st.sampled_from(MODELS)),
                    draw(st.sampled_from([0, 0, 0, 400])),
                    index // 2,
                    frozenset({index ^ 1}),
                )
                for index in range(draw(st.integers(0, 4)))
            )
            for kind in draw(st.sampled_from([(), ("cuda",), ("cuda",), ("cuda", "tpu")]))
        }
        offers = draw(st.sampled_from([frozenset[str](), frozenset({"fast"})]))
        found.append(Node(f"n{number}", capacity, used, offers, devices))
    return found


@st.composite
def requests(draw: st.DrawFn, most: int = 12, prefix: str = "s", plain: bool = False) -> list[Request]:
    """`plain`: single containers that may start at once."""
    found = []
    for number in range(draw(st.integers(0, most))):
        request = Request(
            f"{prefix}{number:02}",
            draw(slots()),
            float(draw(st.integers(0, 5))),
            draw(st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"fast"})])),
            draw(claims()),
            user=draw(st.sampled_from(["ann", "bob", "eve"])),
            project=draw(st.sampled_from(["p", "q"])),
            max_seconds=draw(st.sampled_from([None, 10.0, 50.0, 200.0])),
            domain=draw(st.sampled_from(["d", "e"])),
        )
        if not plain:
            request = replace(
                request,
                size=draw(st.sampled_from([1, 1, 1, 2, 3])),
                layout=draw(st.sampled_from(list(Layout))),
                kind=draw(st.sampled_from([SessionKind.BATCH, SessionKind.INTERACTIVE])),
                priority=draw(st.sampled_from([0, 0, 0, 1])),
            )
        found.append(request)
    return found


@st.composite
def worlds(draw: st.DrawFn, plain: bool = False) -> World:
    """Some nodes, sessions that run there as a pass has placed them, and some that wait."""
    world = World(draw(nodes()), draw(requests(prefix="r", plain=plain)))
    begun = {one.id: one for one in world.requests}
    placed = [one for one in world.plan(50.0) if isinstance(one, Placement)]
    ends = st.sampled_from([None, 90.0, 120.0, 160.0, 300.0])
    world.running = [run(begun[one.session_id], one.parts, 50.0, draw(ends)) for one in placed]
    world.requests = draw(requests(plain=plain))
    return world


def policies(*queues: Queue) -> st.SearchStrategy[Policy]:
    return st.builds(Policy, queue=st.sampled_from(queues or QUEUES), backfill=st.booleans(), preemption=st.booleans())


class Ledger:
    """Who holds what, checked with plain arithmetic: raises AssertionError when anything is given twice."""

    def __init__(self, nodes: Iterable[Node], running: Iterable[Running] = ()) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.free = {
            node.name: {slot: max(amount - node.used.get(slot, 0), 0) for slot, amount in node.capacity.items()}
            for node in self.nodes.values()
        }
        self.devices = {
            (node.name, kind, device.index): WHOLE - device.used
            for node in self.nodes.values()
            for kind, devices in node.devices.items()
            for device in devices
        }
        for one in running:
            self._hold(one.parts)

    def _hold(self, parts: Sequence[Part]) -> None:
        for part in parts:
            for slot, amount in part.slots.items():
                if amount:
                    self.free[part.node][slot] -= amount
                    assert self.free[part.node][slot] >= 0, f"{slot} of {part.node} is given twice"
            for share in part.shares:
                self.devices[part.node, part.kind, share.index] -= share.milli
                assert self.devices[part.node, part.kind, share.index] >= 0, f"a device of {part.node} is given twice"

    def place(self, request: Request, parts: Sequence[Part]) -> None:
        """A request has got this room: that it asked for, as it asked for it, and that was free."""
        assert len(parts) == request.size, "all containers or none"
        for part in parts:
            node = self.nodes[part.node]
            assert request.needs <= node.offers
            assert dict(part.slots) == {slot: amount for slot, amount in request.slots.items() if amount}
            claim = request.claim
            if claim is None:
                assert not part.shares
            else:
                assert part.kind == claim.kind
                assert len({share.index for share in part.shares}) == len(part.shares) == claim.count
                assert all(share.milli == claim.milli for share in part.shares)
                models = {device.index: device.model for device in node.devices[claim.kind]}
                assert all(claim.allows(models[share.index]) for share in part.shares)
        used = [part.node for part in parts]
        if request.layout is Layout.ONE_NODE:
            assert len(set(used)) == 1
        if request.layout is Layout.SPREAD:
            assert len(set(used)) == len(used)
        self._hold(parts)

    def count(self, request: Request, name: str) -> int:
        """How many containers of a request fit on a node now."""
        node, claim = self.nodes[name], request.claim
        if not request.needs <= node.offers:
            return 0
        most = min(
            [self.free[name].get(slot, 0) // amount for slot, amount in request.slots.items() if amount], default=99
        )
        if claim is not None:
            free = [
                max(self.devices[name, claim.kind, device.index], 0)
                for device in node.devices.get(claim.kind, ())
                if claim.allows(device.model)
            ]
            if claim.milli == WHOLE:
                most = min(most, free.count(WHOLE) // claim.count)
            else:
                most = min(most, sum(amount // claim.milli for amount in free))
        return most

    def fits(self, request: Request) -> bool:
        """Whether all of a request fits now."""
        counts = [self.count(request, name) for name in self.nodes]
        match request.layout:
            case Layout.ONE_NODE:
                return max(counts, default=0) >= request.size
            case Layout.SPREAD:
                return sum(count > 0 for count in counts) >= request.size
            case _:
                return sum(min(count, request.size) for count in counts) >= request.size


def placements(decisions: Iterable[Decision]) -> Mapping[str, tuple[Part, ...]]:
    return {one.session_id: one.parts for one in decisions if isinstance(one, Placement)}
