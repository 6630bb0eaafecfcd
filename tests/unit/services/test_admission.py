"""Requests that make no sense are refused with a sentence that says what to do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from madang.db.rows import NodeRow
from madang.domain.errors import ImpossibleRequest, InvalidInput, InvalidSlots, MadangError, Unavailable
from madang.schemas.agent import Limits, NodeReport
from madang.schemas.api import SessionCreate
from madang.services.admission import admit


def _node(
    name: str = "n1", cpu: int = 4000, outbound: bool = True, environments: tuple[str, ...] = ("python",)
) -> NodeRow:
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
    )
    return NodeRow(name, True, {"cpu": cpu, "mem": 8 << 30}, list(environments), report, datetime.now(UTC))


def _ask(**fields: object) -> SessionCreate:
    return SessionCreate.model_validate({"command": ["true"], **fields})


def test_defaults_are_filled_in_and_the_network_is_resolved() -> None:
    admitted = admit(_ask(slots={}), [_node()])
    assert dict(admitted.slots) == {"cpu": 1000, "mem": 1 << 30}
    assert admitted.network == "outbound"
    assert admit(_ask(), [_node(outbound=False)]).network == "none"


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
        ({"slots": {"cuda.device": 1}}, ImpossibleRequest, "has any cuda.device"),
        ({"slots": {"cpu": "64"}}, ImpossibleRequest, "the nearest, n1, has cpu 4"),
    ],
)
def test_nonsense_is_refused(fields: dict[str, object], kind: type[MadangError], says: str) -> None:
    with pytest.raises(kind, match=says):
        admit(_ask(**fields), [_node()])


def test_a_network_that_no_node_offers_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidInput, match="Neither pasta nor slirp4netns is installed"):
        admit(_ask(network="outbound"), [_node(outbound=False)])


def test_the_nearest_possible_is_named() -> None:
    with pytest.raises(ImpossibleRequest, match="the nearest, big, has cpu 32"):
        admit(
            _ask(slots={"cpu": "64"}),
            [_node("small", 2000), _node("big", 32_000)],
        )


def test_without_any_node_it_is_not_the_users_fault() -> None:
    with pytest.raises(Unavailable, match="No node has joined"):
        admit(_ask(), [])
