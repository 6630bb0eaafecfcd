"""What a node offers and grants: never more than it has, whatever a plug-in does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from madang.agent.devices import inventory, plugins
from madang.agent.devices.base import Attachment, Discovery
from madang.agent.devices.inventory import Inventory, summary, survey
from madang.agent.devices.mock import MockDevices
from madang.agent.devices.plugins import load_plugins
from madang.domain.errors import ImpossibleRequest, InvalidInput, Unavailable
from madang.schemas.agent import DeviceInfo, DeviceShare


def npu(index: int, **settings: object) -> DeviceInfo:
    return DeviceInfo.model_validate(
        {"kind": "npu", "index": index, "id": f"N{index}", "model": "N1", "mem": 1} | settings
    )


@dataclass
class Npus:
    """A kind that somebody else added."""

    found: Sequence[DeviceInfo] = (npu(0),)
    kind: str = "npu"
    failure: Exception | None = None
    attach_failure: Exception | None = None
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()

    def discover(self) -> Discovery:
        assert self.may_answer.wait(30)
        if self.failure is not None:
            raise self.failure
        return Discovery(tuple(self.found))

    def attach(self, shares: Sequence[DeviceShare]) -> Attachment:
        if self.attach_failure is not None:
            raise self.attach_failure
        return Attachment({"NPUS": " ".join(share.id for share in shares)})


def share(index: int, milli: int = 1000, kind: str = "cuda") -> DeviceShare:
    name = f"MOCK-A100-{index}" if kind == "cuda" else f"N{index}"
    return DeviceShare(kind=kind, index=index, id=name, milli=milli)


@pytest.fixture
async def node() -> Inventory:
    made = Inventory([MockDevices("2xA100"), Npus()], [], None)
    await made.refresh()
    return made


async def test_slots_count_devices_and_thousandths(node: Inventory) -> None:
    assert node.slots() == {"cuda.device": 2, "cuda.shares": 2000, "npu.device": 1, "npu.shares": 1000}
    assert summary(node.devices) == "2x A100 (mock), 1x N1"


async def test_what_is_free_may_be_taken(node: Inventory) -> None:
    node.check([share(0, 300)], [share(0, 700), share(1)])
    node.check([share(0), share(0, kind="npu")], [])


@pytest.mark.parametrize(
    ("wanted", "held", "words"),
    [
        ([share(2)], [], r"has no device cuda:2 .*it has cuda:0 \(MOCK-A100-0\), cuda:1"),
        ([share(0, kind="tpu")], [], "no device of this kind"),
        ([share(0).model_copy(update={"id": "MOCK-A100-1"})], [], "has no device cuda:0"),
        ([share(0, 400)], [share(0, 300), share(0, 301)], "cuda:0 has 0.399 of it left, and 0.4 is asked for"),
        ([share(0)], [share(0, 1)], "has 0.999 of it left, and 1 is asked for"),
        ([share(0, 600), share(0, 600)], [], "has 0.4 of it left"),
    ],
)
async def test_what_is_not_there_or_taken_is_refused(
    node: Inventory, wanted: list[DeviceShare], held: list[DeviceShare], words: str
) -> None:
    with pytest.raises(Unavailable, match=words):
        node.check(wanted, held)


async def test_variables_say_what_is_held(node: Inventory) -> None:
    given = node.attach([share(0), share(1)]).variables
    assert given["MADANG_DEVICES"] == "cuda:0=1000,cuda:1=1000"
    assert given["CUDA_VISIBLE_DEVICES"] == "MOCK-A100-0,MOCK-A100-1"
    assert given["NPUS"] == ""  # the kinds that it does not hold are hidden
    assert "MADANG_GPU_SHARE" not in given
    assert node.attach([share(1, 250)]).variables["MADANG_GPU_SHARE"] == "0.25"
    assert node.attach([]).variables == {"CUDA_VISIBLE_DEVICES": "", "NPUS": ""}
    with pytest.raises(Unavailable, match="kind tpu"):
        node.attach([share(0, kind="tpu")])


async def test_without_hardware_sessions_keep_a_clean_environment() -> None:
    made = Inventory([Npus(found=())], [], None)
    await made.refresh()
    assert made.attach([]) == Attachment()
    assert (made.slots(), made.reason) == ({}, "")


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (Npus(failure=ImpossibleRequest("the card is on fire")), "on fire"),
        (Npus(failure=ZeroDivisionError("division by zero")), "ZeroDivisionError"),
        (Npus(found=[npu(0), npu(0, id="other")]), "two devices by one index"),
        (Npus(found=[npu(0), npu(1, id="N0")]), "two devices by one index or id"),
        (Npus(found=[npu(0, kind="cuda")]), "a kind other than npu"),
    ],
)
async def test_a_plugin_that_errs_is_told_and_hides_no_other(plugin: Npus, words: str) -> None:
    made = Inventory([plugin, MockDevices("1xT4")], ["earlier trouble"], None)
    await made.refresh()
    assert [device.model for device in made.devices] == ["T4"]
    assert "npu devices" in made.reason
    assert words in made.reason
    assert "earlier trouble" in made.reason


async def test_a_plugin_that_breaks_later_harms_only_those_who_want_its_devices() -> None:
    plugin = Npus()
    made = Inventory([plugin, MockDevices("1xA100")], [], None)
    await made.refresh()
    plugin.attach_failure = ZeroDivisionError("division by zero")
    assert made.attach([share(0)]).variables["CUDA_VISIBLE_DEVICES"] == "MOCK-A100-0"
    with pytest.raises(Unavailable, match="npu devices: ZeroDivisionError"):
        made.attach([share(0, kind="npu")])


async def test_a_driver_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "_PATIENCE_SECONDS", 0.05)
    hanging = Npus()
    hanging.may_answer.clear()
    made = Inventory([hanging, MockDevices("1xT4")], [], None)
    async with asyncio.timeout(10):
        await made.refresh()
        await made.refresh()
        assert [device.model for device in made.devices] == ["T4"]
        assert "has not answered" in made.reason
        hanging.may_answer.set()
        while made.reason:
            await made.refresh()
            await asyncio.sleep(0.01)  # its thread has to get its turn
    assert [device.kind for device in made.devices] == ["npu", "cuda"]


async def test_what_vanishes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "_AGAIN_SECONDS", 0.0)
    plugin = Npus(found=[npu(0), npu(1)])
    made = Inventory([plugin], [], None)
    await made.refresh()
    plugin.found = [npu(1)]
    await made.refresh()
    assert made.slots()["npu.device"] == 1
    with pytest.raises(Unavailable, match="npu:0"):
        made.check([share(0, kind="npu")], [])


# --- plug-ins of other packages ---


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Entry points by name."""
    points: dict[str, str] = {}

    def found(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group) for name, value in points.items()]

    monkeypatch.setattr(plugins, "entry_points", found)
    yield points


def make_npus(root: Path) -> Npus:
    return Npus([npu(0, id=str(root))])


def make_cuda(root: Path) -> Npus:
    return Npus(kind="cuda")


def make_nonsense(root: Path) -> object:
    return object()


def test_another_package_adds_a_kind(installed: dict[str, str]) -> None:
    installed["npu"] = f"{__name__}:make_npus"
    made, problems = load_plugins(root=Path("/elsewhere"))
    assert [plugin.kind for plugin in made] == ["cuda", "rocm", "tpu", "npu"]
    assert problems == []
    assert survey(made[3], None).devices[0].id == "/elsewhere"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no.such.module:thing", "cannot be loaded: ModuleNotFoundError"),
        (f"{__name__}:make_nonsense", "is no DevicePlugin"),
        (f"{__name__}:make_cuda", "the kind cuda is there already"),
    ],
)
def test_a_bad_package_is_told_and_left_out(installed: dict[str, str], value: str, words: str) -> None:
    installed["theirs"] = value
    made, problems = load_plugins()
    assert len(made) == 3
    assert "'theirs'" in problems[0]
    assert words in problems[0]


def test_pretended_gpus_take_the_place_of_real_ones(installed: dict[str, str]) -> None:
    made, _ = load_plugins("1xT4")
    assert isinstance(made[0], MockDevices)
    with pytest.raises(InvalidInput):
        load_plugins("many")
