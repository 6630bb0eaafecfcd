"""A refusal for ever is never wrong, and what it advises instead works."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.db.rows import NodeRow
from madang.domain.devices import Claim
from madang.domain.errors import ImpossibleRequest
from madang.domain.session import Layout
from madang.services.possible import Wanted, claim_words, fits_on, is_possible, require_possible
from tests.unit.services.test_admission import make_node

_models = st.sampled_from([(), ("A",), ("A", "B")])
_claims = st.one_of(
    st.none(),
    st.builds(Claim, st.just("cuda"), st.integers(1, 5), st.just(1000), _models),
    st.builds(Claim, st.just("cuda"), st.just(1), st.integers(1, 999), _models),
)
_wanted = st.builds(
    Wanted,
    st.dictionaries(st.sampled_from(["cpu", "mem"]), st.integers(1, 40), min_size=1),
    _claims,
    st.integers(1, 6),
    st.sampled_from(Layout),
)
_nodes = st.lists(
    st.tuples(st.integers(1, 100), st.dictionaries(st.sampled_from("AB"), st.integers(0, 4))), min_size=1, max_size=4
).map(lambda made: [make_node(f"n{number}", cpu, gpus=gpus) for number, (cpu, gpus) in enumerate(made)])


def _fill(node: NodeRow, wanted: Wanted) -> int:
    """How many containers fit, by putting one after the other onto an empty node."""
    free = dict(node.slots)
    devices = [1000 for one in node.report.devices if wanted.claim is None or wanted.claim.allows(one.model)]
    held = 0
    while held < 200 and all(free.get(name, 0) >= amount for name, amount in wanted.slots.items()):
        if wanted.claim is not None:
            able = [index for index, milli in enumerate(devices) if milli >= wanted.claim.milli]
            if len(able) < wanted.claim.count:
                break
            for index in able[: wanted.claim.count]:
                devices[index] -= wanted.claim.milli
        for name, amount in wanted.slots.items():
            free[name] -= amount
        held += 1
    return held


@given(_wanted, _nodes)
def test_a_node_holds_as_many_as_can_be_put_onto_it(wanted: Wanted, nodes: list[NodeRow]) -> None:
    for node in nodes:
        assert min(fits_on(node, wanted), 200) == _fill(node, wanted)


@given(_wanted, _nodes)
def test_what_is_advised_is_possible(wanted: Wanted, nodes: list[NodeRow]) -> None:
    if is_possible(wanted, nodes):
        require_possible(wanted, nodes, "default")
        return
    with pytest.raises(ImpossibleRequest) as caught:
        require_possible(wanted, nodes, "default")
    message = caught.value.message
    if size := re.search(r"Ask for --size (\d+)", message):
        assert is_possible(Wanted(wanted.slots, wanted.claim, int(size[1]), wanted.layout), nodes)
    if "leave --layout out" in message:
        assert is_possible(Wanted(wanted.slots, wanted.claim, wanted.size, Layout.ANY), nodes)
    if (count := re.search(r"Ask for (\d+)", message)) and wanted.claim is not None:
        fewer = Claim("cuda", int(count[1]), 1000, wanted.claim.models)
        assert is_possible(Wanted({}, fewer), nodes)
    if several := re.search(r"(\d+) in each of (\d+) containers", message):
        assert wanted.claim is not None
        assert int(several[1]) * int(several[2]) == wanted.claim.count
        assert is_possible(
            Wanted({}, Claim("cuda", int(several[1]), 1000, wanted.claim.models), int(several[2])), nodes
        )


def test_a_device_that_cannot_be_divided_is_only_given_whole() -> None:
    node = make_node("n0", 8, gpus={"A": 2})
    devices = [one.model_copy(update={"divisible": False}) for one in node.report.devices]
    node = replace(node, report=node.report.model_copy(update={"devices": devices}))
    require_possible(Wanted({"cpu": 1}, Claim("cuda", 2, 1000)), [node], "default")
    with pytest.raises(ImpossibleRequest, match=r"serves one session at a time: ask for whole ones with cuda\.device"):
        require_possible(Wanted({"cpu": 1}, Claim("cuda", 1, 500)), [node], "default")


def test_claims_are_told_as_people_say_them() -> None:
    assert claim_words(Claim("cuda", 1, 1000)) == "a GPU"
    assert claim_words(Claim("rocm", 2, 1000, ("MI300",))) == "2 GPUs of model MI300"
    assert claim_words(Claim("cuda", 1, 300, ("A100", "H100"))) == "0.3 of a GPU of model A100 or H100"
    assert claim_words(Claim("tpu", 4, 1000)) == "4 TPUs"
    assert claim_words(Claim("fpga", 2, 1000)) == "2 fpga devices"
