"""What users write as options becomes the request they meant, or is refused before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from madang.cli.asking import Asked, parse_network, parse_slots, parse_variable
from madang.domain.errors import InvalidInput
from madang.domain.session import Layout


def test_everything_is_read() -> None:
    asked = Asked(
        cpu="0.5",
        slot=["fpga=1"],
        gpu="2",
        gpu_model="H100|A100",
        group="big",
        size=4,
        layout=Layout.SPREAD,
        start_at="+2h",
        max_time="1h30m",
        after=["one"],
        after_ok=["two"],
    ).checked()
    assert asked["slots"] == {"cpu": "0.5", "fpga": "1"}  # the rest is the preset's, else what everybody gets
    assert asked["models"] == ("A100", "H100")
    assert (asked["resource_group"], asked["size"], asked["layout"]) == ("big", 4, Layout.SPREAD)
    assert asked["max_seconds"] == 5400
    assert (asked["after"], asked["after_ok"]) == (["one"], ["two"])
    start = asked["start_at"]
    assert start is not None
    assert abs(start - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Asked(cpu="x"), "cannot read 'x'"),
        (Asked(mem="-1g"), "cannot read"),
        (Asked(slot=["gpu"]), "--slot 'gpu'"),
        (Asked(slot=["Bad Name=1"]), "not a slot name"),
        (Asked(gpu="many"), "--gpu 'many'"),
        (Asked(gpu="0"), None),
        (Asked(gpu="-1"), "--gpu '-1'"),
        (Asked(gpu="nan"), "--gpu 'nan'"),
        (Asked(gpu="1.5"), "ask for 1 or 2 whole"),
        (Asked(gpu="1", slot=["cuda.shares=0.5"]), "not both"),
        (Asked(gpu="1", slot=["rocm.device=1"]), "devices of one kind"),
        (Asked(gpu_model="A100"), "no device"),
        (Asked(gpu="1", gpu_model="A100|"), "names no model"),
        (Asked(start_at="soon"), "cannot read the time 'soon'"),
        (Asked(max_time="2"), "write e.g. 90s, 30m, 2h"),
        (Asked(deadline="2026-99-01"), "cannot read the time"),
        (Asked(network="host"), "not 'host'"),
    ],
)
def test_what_is_misread_is_said_before_anything_is_sent(asked: Asked, says: str | None) -> None:
    if says is None:
        asked.checked()  # nothing of a device is nothing
        return
    with pytest.raises(InvalidInput, match=says):
        asked.checked()


def test_variables_slots_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "from here")
    monkeypatch.delenv("MISSING", raising=False)
    assert parse_variable("A=b=c") == ("A", "b=c")
    assert parse_variable("HERE") == ("HERE", "from here")
    with pytest.raises(InvalidInput, match="MISSING=VALUE"):
        parse_variable("MISSING")
    assert parse_slots(["cuda.device=1", "cpu=2"]) == {"cuda.device": "1", "cpu": "2"}
    assert (parse_network(None), parse_network("none"), parse_network("outbound")) == (None, "none", "outbound")
