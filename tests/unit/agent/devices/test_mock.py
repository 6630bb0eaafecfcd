"""Pretended GPUs are what was written, and bad text is answered with how to write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.agent.devices.mock import MAX_MOCKS, MockDevices, parse_mock_gpus
from madang.domain.errors import InvalidInput

GIB = 1 << 30


def test_a_list_is_what_it_says_and_indices_go_on() -> None:
    found = parse_mock_gpus("4xA100, 2xT4")
    assert [(one.index, one.model, one.mem // GIB, one.numa) for one in found] == [
        (0, "A100", 80, 0),
        (1, "A100", 80, 0),
        (2, "A100", 80, 1),
        (3, "A100", 80, 1),
        (4, "T4", 16, 0),
        (5, "T4", 16, 1),
    ]
    assert all(one.mock and one.kind == "cuda" and "MOCK" in one.id for one in found)


def test_fast_links_join_quads_of_an_a100_and_nothing_of_a_t4() -> None:
    found = parse_mock_gpus("6xA100,2xT4,3xRTX 3090")
    links = {one.index: one.links for one in found}
    assert links[0] == [1, 2, 3]
    assert links[4] == [5]
    assert links[6] == links[7] == []
    assert (links[8], links[9], links[10]) == ([9], [8], [])


@pytest.mark.parametrize(
    ("written", "model", "mem"),
    [
        ("1xa100", "A100", 80 * GIB),
        ("1 x rtx 4090", "RTX 4090", 24 * GIB),
        ("1*H100", "H100", 80 * GIB),
        ("1xG2:32g", "G2", 32 * GIB),
        ("1xA100:40GiB", "A100", 40 * GIB),
        ("1xV100M16 : 1.5g", "V100M16", 3 * GIB // 2),
    ],
)
def test_ways_to_write_one(written: str, model: str, mem: int) -> None:
    (one,) = parse_mock_gpus(written)
    assert (one.model, one.mem) == (model, mem)


@pytest.mark.parametrize(
    "written",
    [
        "A100",
        "xA100",
        "0xA100",
        "4A100",
        "4xFoo",
        "4xA100,",
        "4xA100:12q",
        "4xA100:1",
        "-1xA100",
        "200xT4",
        "4xA100;2xT4",
    ],
)
def test_what_cannot_be_read_is_answered_with_how_to_write_it(written: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_mock_gpus(written)
    assert "Write e.g. 4xA100 or 4xA100,2xT4" in caught.value.message
    assert written in caught.value.message


@given(st.text(max_size=30))
def test_no_text_breaks_it(written: str) -> None:
    try:
        found = parse_mock_gpus(written)
    except InvalidInput:
        return
    assert 0 < len(found) <= MAX_MOCKS


def test_the_memory_of_ids_survives_a_restart() -> None:
    assert MockDevices("2xA100").discover() == MockDevices("2xA100").discover()
