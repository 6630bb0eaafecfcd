"""Requests that make no sense are refused with a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from madang.db.rows import GroupRow, NodeRow
from madang.domain.errors import Forbidden, ImpossibleRequest, InvalidInput, InvalidSlots, MadangError, Unavailable
from madang.domain.people import Caller
from madang.schemas.agent import DeviceInfo, Limits, NodeReport
from madang.schemas.api import CalendarWindow, GroupPolicy, SessionCreate
from madang.services.admission import Admitted
from madang.services.admission import admit as admit_it
from madang.services.catalog import Known

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
USER = Caller("0" * 26, "somebody", "user")
ADMIN = Caller("1" * 26, "admin", "admin")


def make_node(
    name: str = "n1",
    cpu: int = 4000,
    outbound: bool = True,
    environments: tuple[str, ...] = ("python",),
    gpus: Mapping[str, int] | None = None,
    group: str = "default",
) -> NodeRow:
    models = [model for model, count in (gpus or {}).items() for _ in range(count)]
    report = NodeReport(
        name=name,
        architecture="x86_64",
        system="Test",
        slots={},
        runtime="bubblewrap",
        runtime_reason="",
        isolated=True,
        limits=Limits.ENFORCED,
        limits_reason="",
        networks=["none", "outbound"] if outbound else ["none"],
        networks_reason="" if outbound else "Neither pasta nor slirp4netns is installed.",
        version="0",
        devices=[
            DeviceInfo(kind="cuda", index=index, id=f"{name}-{index}", model=model, mem=0)
            for index, model in enumerate(models)
        ],
    )
    slots = {"cpu": cpu, "mem": 8 << 30}
    if models:
        slots |= {"cuda.device": len(models), "cuda.shares": len(models) * 1000}
    return NodeRow(name, True, slots, list(environments), report, NOW, group)


def _ask(**fields: object) -> SessionCreate:
    return SessionCreate.model_validate({"command": ["true"], **fields})


def admit(request: SessionCreate, nodes: Sequence[NodeRow], caller: Caller = USER, **policy: object) -> Admitted:
    groups = {
        name: GroupRow(name, GroupPolicy.model_validate(policy), NOW)
        for name in ("default", *(node.resource_group for node in nodes))
    }
    return admit_it(request, Known(nodes, groups), caller, NOW)


def test_defaults_are_filled_in_and_the_network_is_resolved() -> None:
    admitted = admit(_ask(slots={}), [make_node()])
    assert dict(admitted.slots) == {"cpu": 1000, "mem": 1 << 30}
    assert admitted.network == "outbound"
    assert admit(_ask(), [make_node(outbound=False)]).network == "none"


@pytest.mark.parametrize(
    ("fields", "kind", "says"),
    [
        ({"environment": "nope"}, InvalidInput, "Known are: python"),
        ({"command": []}, InvalidInput, "needs a command"),
        ({"command": [""]}, InvalidInput, "first word"),
        ({"kind": "system"}, InvalidInput, "belong to the platform"),
        ({"variables": {"MADANG_TOKEN": "x"}}, InvalidInput, "does not begin with MADANG_"),
        ({"variables": {"A-B": "x"}}, InvalidInput, "not a name"),
        ({"command": ["x" * 32_000] * 40}, InvalidInput, "larger than 1 MiB"),
        ({"slots": {"cpu": "0"}}, InvalidSlots, "more than nothing"),
        ({"slots": {"mem": "1m"}}, InvalidSlots, "at least 16m"),
        ({"slots": {"cpu": "many"}}, InvalidSlots, "cannot read"),
        ({"slots": {"cuda.device": 1}}, ImpossibleRequest, "has any GPU; there is cpu, mem"),
        ({"slots": {"fpga": 1}}, ImpossibleRequest, "has any fpga; there is cpu, mem"),
        ({"slots": {"cpu": "64"}}, ImpossibleRequest, "the nearest, n1, has cpu 4"),
        ({"slots": {"cuda.shares": "1.5"}}, InvalidSlots, "ask for 1 or 2 whole"),
        ({"models": ["A100"]}, InvalidSlots, "no device"),
        ({"resource_group": "nope"}, InvalidInput, "no resource group 'nope'. Known are: default"),
        ({"layout": "spread"}, InvalidInput, "several containers"),
        ({"priority": 1}, Forbidden, "given by an administrator"),
    ],
)
def test_nonsense_is_refused(fields: dict[str, object], kind: type[MadangError], says: str) -> None:
    with pytest.raises(kind, match=says):
        admit(_ask(**fields), [make_node()])


def test_a_network_that_no_node_offers_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidInput, match="Neither pasta nor slirp4netns is installed"):
        admit(_ask(network="outbound"), [make_node(outbound=False)])


def test_the_nearest_possible_is_named() -> None:
    with pytest.raises(ImpossibleRequest, match="the nearest, big, has cpu 32"):
        admit(_ask(slots={"cpu": "64"}), [make_node("small", 2000), make_node("big", 32_000)])


def test_without_any_node_it_is_not_the_users_fault() -> None:
    with pytest.raises(Unavailable, match="No node has joined"):
        admit(_ask(), [])


def test_batch_gives_way_unless_told_otherwise() -> None:
    assert admit(_ask(), [make_node()]).preemptible
    assert not admit(_ask(kind="interactive"), [make_node()]).preemptible
    assert not admit(_ask(preemptible=False), [make_node()]).preemptible
    assert admit(_ask(kind="interactive", preemptible=True), [make_node()]).preemptible


def test_an_administrator_gives_priority_and_everybody_may_step_back() -> None:
    admit(_ask(priority=100), [make_node()], ADMIN)
    admit(_ask(priority=-100), [make_node()])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"start_at": NOW - timedelta(hours=1)}, "start time 2026-12-01 08:00:00.* is in the past"),
        ({"deadline": NOW}, "deadline 2026-12-01 09:00:00.* is in the past"),
        ({"start_at": NOW + timedelta(hours=2), "deadline": NOW + timedelta(hours=1)}, "comes before the start time"),
        ({"deadline": NOW + timedelta(hours=1), "max_seconds": 7200}, "would have to start by 2026-12-01 08:00:00"),
        (
            {"start_at": NOW + timedelta(hours=1), "deadline": NOW + timedelta(hours=2), "max_seconds": 7200},
            "cannot be met",
        ),
        ({"start_at": NOW.replace(year=2126)}, "Is the year right"),
    ],
)
def test_times_that_cannot_be_kept_are_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        admit(_ask(**fields), [make_node()])


def test_times_that_can_be_kept_are_taken() -> None:
    admit(_ask(start_at=NOW - timedelta(seconds=30)), [make_node()])  # the minute that it is
    admit(_ask(start_at=NOW + timedelta(hours=1), deadline=NOW + timedelta(hours=3), max_seconds=7200), [make_node()])


GPUS = [
    make_node("gpu-01", gpus={"A100": 4}),
    make_node("gpu-02", gpus={"H100": 2}),
    make_node("gpu-03", gpus={"H100": 2}),
    make_node("cpu-01", cpu=32_000),
]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"slots": {"cuda.device": 4}, "models": ["H100"]},
            "No node of group 'default' can ever hold 4 GPUs of model H100; the nearest, gpu-02, has 2. Ask for 2, "
            "or for 4 on several nodes: 2 in each of 2 containers (--size 2).",
        ),
        (
            {"slots": {"cuda.device": 6}, "models": ["H100"]},
            "No node of group 'default' can ever hold 6 GPUs of model H100; the nearest, gpu-02, has 2. Ask for 2.",
        ),
        (
            {"slots": {"cuda.device": 1}, "models": ["V100"]},
            "No node of group 'default' has any GPU of model V100; there is A100, H100. Ask for one of these.",
        ),
        (
            {"slots": {"cuda.shares": "0.3"}, "models": ["T4", "V100"]},
            "No node of group 'default' has any GPU of model T4 or V100; there is A100, H100. Ask for one of these.",
        ),
        (
            {"slots": {"cuda.device": 1, "cpu": "16"}},
            "No node of group 'default' can ever hold cpu 16, mem 1g and a GPU; the nearest with a GPU, gpu-01, has "
            "cpu 4, mem 8g in all. Ask for less.",
        ),
        (
            {"slots": {"cuda.device": 1}, "size": 9},
            "All nodes of group 'default' together can never hold 9 such containers, but 8. Ask for --size 8.",
        ),
        (
            {"slots": {"cuda.device": 1}, "size": 5, "layout": "one-node"},
            "No node of group 'default' can ever hold 5 such containers together; the nearest, gpu-01, holds 4. "
            "Ask for --size 4, or leave --layout out.",
        ),
        (
            {"slots": {"cuda.device": 1}, "size": 4, "layout": "spread"},
            "4 containers on as many nodes were asked for, and group 'default' has 3 nodes that could hold one. "
            "Ask for --size 3, or leave --layout out.",
        ),
    ],
)
def test_devices_that_no_node_could_ever_give_are_refused_with_the_nearest(
    fields: dict[str, object], says: str
) -> None:
    with pytest.raises(ImpossibleRequest) as caught:
        admit(_ask(**fields), GPUS)
    assert caught.value.message == says


def test_another_group_that_could_hold_it_is_named() -> None:
    nodes = [make_node("n1"), make_node("g1", gpus={"A100": 8}, group="big")]
    with pytest.raises(ImpossibleRequest, match="Group 'big' could hold it: --group big"):
        admit(_ask(slots={"cuda.device": 8}), nodes)
    admit(_ask(slots={"cuda.device": 8}, resource_group="big"), nodes)


def test_a_group_without_nodes_holds_nothing() -> None:
    with pytest.raises(ImpossibleRequest, match="'default' has no nodes"):
        admit(_ask(), [make_node(group="other")])


@pytest.mark.parametrize(
    ("fields", "window"),
    [
        ({"slots": {"cuda.shares": "0.3"}}, {"name": "day", "gpus": "whole"}),
        ({"slots": {"cuda.device": 1}}, {"name": "night", "gpus": "fractions"}),
        ({"kind": "batch"}, {"name": "people", "kinds": ["interactive"]}),
    ],
)
def test_what_the_calendar_never_allows_is_refused(fields: dict[str, object], window: dict[str, object]) -> None:
    calendar = [CalendarWindow.model_validate(window)]
    with pytest.raises(ImpossibleRequest, match="calendar of group 'default' never allows"):
        admit(_ask(**fields), GPUS, calendar=calendar)
    admit(_ask(**fields), GPUS, calendar=[*calendar, CalendarWindow(name="rest")])
