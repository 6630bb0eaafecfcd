"""What a container sees of its node's devices: its own, and nothing of the others."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from madang.agent import agent as agents
from madang.agent.devices.cuda import CudaDevices
from madang.agent.devices.rocm import RocmDevices
from madang.domain.errors import Unavailable
from madang.domain.session import ExitReason
from madang.schemas.agent import DeviceShare, Phase
from tests.conftest import open_directory
from tests.contract.runtime.bench import Bench
from tests.contract.runtime.conftest import RUNTIMES, open_agent
from tests.device_trees import amd_tree, nvidia_tree

MOCKS = "4xA100,2xT4"


@pytest.fixture(scope="module", params=RUNTIMES)
async def machine(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """An agent with pretended GPUs."""
    data_dir = open_directory()
    bench = Bench(await open_agent(data_dir, request.param, MOCKS), data_dir, request.param)
    yield bench
    await bench.agent.close()
    shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture
async def gpus(machine: Bench) -> AsyncIterator[Bench]:
    """The same, all of them free."""
    yield machine
    await machine.clear()


async def replace_agent(bench: Bench, mocks: str = MOCKS) -> None:
    await bench.agent.close()
    bench.agent = await open_agent(bench.data_dir, bench.runtime, mocks)


async def shares(bench: Bench, *held: tuple[int, int]) -> list[DeviceShare]:
    """Shares of devices of the first kind, each an index and thousandths."""
    known = {device.index: device for device in (await bench.agent.report()).devices}
    return [DeviceShare(kind=known[index].kind, index=index, id=known[index].id, milli=milli) for index, milli in held]


ENVIRONMENT = "env | grep -E '^(CUDA_|MADANG_(DEVICES|GPU_SHARE))' | sort"


async def test_the_node_reports_its_devices(gpus: Bench) -> None:
    report = await gpus.agent.report()
    assert [(one.kind, one.index, one.model, one.mock) for one in report.devices] == [
        ("cuda", index, "A100" if index < 4 else "T4", True) for index in range(6)
    ]
    assert (report.slots["cuda.device"], report.slots["cuda.shares"]) == (6, 6000)
    assert report.devices_reason == ""


async def test_a_container_sees_the_devices_it_was_given(gpus: Bench) -> None:
    result = await gpus.run(gpus.shell(ENVIRONMENT, devices=await shares(gpus, (1, 1000), (4, 1000))))
    assert result.stdout.split() == [
        "CUDA_VISIBLE_DEVICES=MOCK-A100-1,MOCK-T4-4",
        "MADANG_DEVICES=cuda:1=1000,cuda:4=1000",
    ]


async def test_a_fraction_is_told(gpus: Bench) -> None:
    result = await gpus.run(gpus.shell(ENVIRONMENT, devices=await shares(gpus, (2, 300))))
    assert result.stdout.split() == [
        "CUDA_VISIBLE_DEVICES=MOCK-A100-2",
        "MADANG_DEVICES=cuda:2=300",
        "MADANG_GPU_SHARE=0.3",
    ]


async def test_a_container_without_devices_sees_none(gpus: Bench) -> None:
    assert (await gpus.run(gpus.shell(ENVIRONMENT))).stdout.split() == ["CUDA_VISIBLE_DEVICES="]


async def test_a_further_process_sees_the_same(gpus: Bench) -> None:
    spec = gpus.shell("sleep 60", devices=await shares(gpus, (3, 1000)))
    await gpus.start(spec)
    result = await gpus.exec(spec, "/bin/sh", "-c", "echo $MADANG_DEVICES $CUDA_VISIBLE_DEVICES")
    assert result.stdout == "cuda:3=1000 MOCK-A100-3\n"


async def test_devices_that_the_node_lacks_are_refused(gpus: Bench) -> None:
    missing = DeviceShare(kind="cuda", index=6, id="MOCK-A100-6", milli=1000)
    with pytest.raises(Unavailable, match="has no device cuda:6"):
        await gpus.agent.create(gpus.shell("true", devices=[missing]))
    assert await gpus.agent.containers() == []


async def test_a_device_is_never_held_twice_over(gpus: Bench) -> None:
    first = gpus.shell("sleep 60", devices=await shares(gpus, (0, 700)))
    await gpus.start(first)
    with pytest.raises(Unavailable, match=r"cuda:0 has 0\.3 of it left"):
        await gpus.agent.create(gpus.shell("true", devices=await shares(gpus, (0, 400))))
    assert (await gpus.run(gpus.shell("true", devices=await shares(gpus, (0, 300))))).exit.code == 0
    await gpus.agent.stop(first.container_id, 1, 0)
    await gpus.ended(first)
    await gpus.agent.create(gpus.shell("true", devices=await shares(gpus, (0, 1000))))


async def test_a_launch_anew_may_have_the_device_of_the_launch_before(gpus: Bench) -> None:
    first = gpus.shell("sleep 60", devices=await shares(gpus, (0, 1000)))
    await gpus.start(first)
    again = first.model_copy(update={"epoch": 2, "command": ["/bin/sh", "-c", "echo $MADANG_DEVICES"]})
    gpus.made.append(again)
    assert (await gpus.run(again)).stdout == "cuda:0=1000\n"


async def test_adopted_containers_keep_their_devices(gpus: Bench) -> None:
    spec = gpus.shell("sleep 60", devices=await shares(gpus, (5, 1000)))
    await gpus.start(spec)
    await replace_agent(gpus)
    assert (await gpus.status(spec)).phase is Phase.RUNNING
    with pytest.raises(Unavailable, match="cuda:5 has 0 of it left"):
        await gpus.agent.create(gpus.shell("true", devices=await shares(gpus, (5, 1))))
    assert (await gpus.exec(spec, "/bin/sh", "-c", "echo $MADANG_DEVICES")).stdout == "cuda:5=1000\n"


async def test_a_container_whose_device_is_gone_after_a_restart_says_so(gpus: Bench) -> None:
    spec = gpus.shell("true", devices=await shares(gpus, (5, 1000)))
    await gpus.agent.create(spec)
    await replace_agent(gpus, "1xT4")
    status = await gpus.agent.start(spec.container_id, 1)
    await replace_agent(gpus)
    assert status.exit is not None
    assert status.exit.reason is ExitReason.LAUNCH
    assert "has no device cuda:5" in status.exit.message


# --- device nodes, in sandboxes ---


def _can_make_nodes(directory: Path) -> bool:
    try:
        os.mknod(directory / "node", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        return (directory / "node").open("rb").read(1) == b"\0"
    except OSError:
        return False


@pytest.fixture(params=["cuda", "rocm"])
async def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A sandboxing agent of a machine whose device nodes are made: each reads as zeros."""
    data_dir = open_directory()
    if not _can_make_nodes(data_dir):
        shutil.rmtree(data_dir)
        pytest.skip("device nodes cannot be made here: that needs root")
    root = data_dir / "machine"
    root.mkdir(mode=0o711)
    if request.param == "cuda":
        plugin: CudaDevices | RocmDevices = CudaDevices(root, nvidia_tree(root))
    else:
        amd_tree(root)
        plugin = RocmDevices(root)
    monkeypatch.setattr(agents, "load_plugins", lambda mock_gpus: ([plugin], []))
    bench = Bench(await open_agent(data_dir, "bubblewrap"), data_dir, request.param)
    yield bench
    await bench.clear()
    await bench.agent.close()
    shutil.rmtree(data_dir, ignore_errors=True)


OWN = {
    "cuda": ["/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia2", "/dev/nvidiactl"],  # index 1 is minor 2
    "rocm": ["/dev/dri/renderD129", "/dev/kfd"],
}
LIST = "find /dev -name 'nvidia*' -o -name kfd -o -name 'renderD*' | sort"
OPEN = "for node in $(" + LIST + "); do head -c 1 $node | od -An -tx1; done"


async def test_a_sandbox_has_the_nodes_of_its_own_devices_and_may_open_them(made: Bench) -> None:
    spec = made.shell(f"{LIST}; {OPEN}", devices=await shares(made, (1, 1000)))
    own = OWN[made.runtime]
    assert (await made.run(spec)).stdout.split() == own + ["00"] * len(own)


async def test_a_sandbox_without_devices_has_no_node(made: Bench) -> None:
    assert (await made.run(made.shell(LIST))).stdout == ""


async def test_no_node_can_be_made_or_changed_inside(made: Bench) -> None:
    spec = made.shell(
        "exec 2>&1; mknod /tmp/nvidia3 c 1 5 && echo made; chmod 600 $(" + LIST + ") && echo changed; echo done",
        devices=await shares(made, (1, 1000)),
    )
    said = (await made.run(spec)).stdout
    assert "done" in said
    assert "made" not in said
    assert "changed" not in said


@pytest.mark.parametrize("made", ["rocm"], indirect=True)
async def test_amd_tools_find_their_gpu_through_sys(made: Bench) -> None:
    script = (
        "cat /sys/class/kfd/kfd/topology/nodes/3/properties | grep -c drm_render_minor;"
        "cat /sys/dev/char/226:129/dev; cat /sys/bus/pci/devices/0000:23:00.0/vendor; ls /sys/bus/pci/devices"
    )
    spec = made.shell(script, devices=await shares(made, (1, 1000)))
    assert (await made.run(spec)).stdout.split() == ["1", "226:129", "0x1002", "0000:23:00.0"]
