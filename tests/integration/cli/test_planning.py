"""What people read of devices, queues and plans, in English and in Korean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from madang.domain.container import ContainerState
from madang.domain.session import SessionKind, SessionState
from madang.schemas.agent import DeviceInfo
from madang.schemas.api import DeviceState, HeldDevice, Session, SessionContainer, Waiting
from madang.sdk import Client
from tests.fake_platform import FakePlatform

Madang = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def platform() -> Iterator[FakePlatform]:
    fake = FakePlatform()
    yield fake
    fake.close()


@pytest.fixture
def madang(platform: FakePlatform) -> Madang:
    def run(*arguments: str, language: str = "en") -> subprocess.CompletedProcess[str]:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("MADANG_")}
        environ |= {"MADANG_URL": platform.url, "MADANG_TOKEN": platform.token, "NO_COLOR": "1", "TZ": "Asia/Seoul"}
        environ |= {"MADANG_LANG": language, "PYTHONIOENCODING": "utf-8"}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "madang.cli.main", *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)

    return run


def test_a_dry_run_tells_where_it_would_start(madang: Madang) -> None:
    done = madang("run", "--dry-run", "--", "train")
    assert (done.returncode, done.stdout) == (0, "It would start at once on here.\n")
    assert madang("run", "--dry-run", "--", "train", language="ko").stdout == "바로 시작합니다: here\n"
    several = madang("run", "--dry-run", "--size", "2", "--", "train")
    assert several.stdout == "It would start at once with 2 containers on here, here.\n"


def test_a_dry_run_tells_why_and_how_long_it_would_wait(madang: Madang) -> None:
    done = madang("run", "--gpu", "2", "--dry-run", "--", "train")
    assert done.returncode == 0
    assert done.stdout.startswith(
        "It would wait: needs 2 GPUs; the best node of group default (here) has 1 free; position 3 of 7. "
        "Estimated start: "
    )
    assert done.stdout.endswith("(in 2h).\n")
    korean = madang("run", "--gpu", "2", "--dry-run", "--", "train", language="ko").stdout
    assert korean.startswith("기다리게 됩니다: GPU 2개가 필요한데")
    assert "7개 중 3번째" in korean
    assert "2h 뒤" in korean


def test_a_dry_run_for_programs_is_what_the_api_says(madang: Madang) -> None:
    done = madang("run", "--gpu", "2", "--dry-run", "--json", "--", "train")
    assert json.loads(done.stdout)["waiting"]["code"] == "shortage"


def test_options_are_checked_before_anything_is_sent(madang: Madang) -> None:
    done = madang("run", "--max-time", "2", "--", "x")
    assert done.returncode == 2
    assert "write e.g. 90s, 30m, 2h" in done.stderr
    assert madang("run", "--size", "0", "--", "x").returncode == 2
    alone = madang("run", "--json", "--", "x")
    assert (alone.returncode, alone.stdout) == (2, "")
    assert "--dry-run or --detach" in alone.stderr
    assert json.loads(madang("run", "--json", "--detach", "--", "x").stdout)["command"] == ["x"]


@pytest.fixture
def pending(platform: FakePlatform) -> Session:
    with Client(platform.url, platform.token) as client:
        made = client.sessions.create(["train"], slots={"cpu": "1", "cuda.device": 2})
    now = datetime.now(UTC)
    waiting = Waiting(
        code="shortage",
        values={"group": "default", "node": "n1", "device": "GPU", "devices": 2, "devices_free": 1}
        | {"position": 1, "of": 2},
        position=1,
        of=2,
        estimated_start=now + timedelta(minutes=30),
    )
    reason = "needs 2 GPUs; the best node of group default (n1) has 1 free; position 1 of 2"
    platform.sessions.all[made.id] = made.model_copy(
        update={
            "state": SessionState.PENDING,
            "reason": reason,
            "waiting": waiting,
            "node": None,
            "models": ["A100", "H100"],
            "max_seconds": 7200,
            "start_at": datetime(2030, 1, 1, tzinfo=UTC),
        }
    )
    return platform.sessions.all[made.id]


def test_a_pending_session_says_why_its_place_and_when(madang: Madang, pending: Session) -> None:
    shown = madang("session", "show", pending.name).stdout
    assert pending.reason in shown
    for name, value in [
        ("PLACE", "1 of 2"),
        ("ESTIMATED START", "(in 30m)"),
        ("SLOTS", "cpu 1, cuda.device 2 (A100|H100)"),
        ("LONGEST RUN", "2h"),
        ("NOT BEFORE", "2030-01-01 09:00"),
    ]:
        [line] = [line for line in shown.splitlines() if line.startswith(name)]
        assert value in line


def test_a_pending_session_says_so_in_korean(madang: Madang, pending: Session) -> None:
    shown = madang("session", "show", pending.name, language="ko").stdout
    assert "GPU 2개가 필요한데, default 그룹에서 가장 여유 있는 노드(n1)에 1개만 남아 있습니다" in shown
    assert "2개 중 1번째" in shown
    assert "30m 뒤" in shown
    assert "필요한데" in madang("session", "ls", language="ko").stdout


def test_a_reason_of_a_newer_server_is_told_as_it_says_it(
    madang: Madang, platform: FakePlatform, pending: Session
) -> None:
    assert pending.waiting is not None
    strange = pending.waiting.model_copy(update={"code": "moon"})
    platform.sessions.all[pending.id] = pending.model_copy(update={"waiting": strange, "reason": "the moon is wrong"})
    assert "the moon is wrong" in madang("session", "show", pending.name, language="ko").stdout


def test_containers_are_listed_with_their_devices(madang: Madang, platform: FakePlatform) -> None:
    with Client(platform.url, platform.token) as client:
        made = client.sessions.create(["train"], size=2, slots={"cpu": "1"})
    containers = [
        SessionContainer(
            role="sub" if rank else "main",
            rank=rank,
            node=f"n{rank}",
            state=ContainerState.RUNNING,
            devices=[HeldDevice(kind="cuda", index=3, milli=1000 if rank else 300)],
            exit=None,
        )
        for rank in range(2)
    ]
    platform.sessions.all[made.id] = made.model_copy(update={"size": 2, "containers": containers})
    lines = [line.split() for line in madang("session", "show", made.name).stdout.splitlines()]
    assert ["0", "n0", "running", "0.3", "of", "GPU", "3"] in lines
    assert ["1", "n1", "running", "GPU", "3"] in lines


def test_an_interactive_session_is_created_without_a_command(madang: Madang, platform: FakePlatform) -> None:
    done = madang("session", "create", "--name", "desk", "--gpu", "0")
    assert (done.returncode, done.stdout) == (0, "desk\n")
    [made] = [one for one in platform.sessions.all.values() if one.name == "desk"]
    assert made.kind is SessionKind.INTERACTIVE


def test_groups_are_shown_and_set(madang: Madang, tmp_path: Path) -> None:
    assert "default" in madang("group", "ls").stdout
    file = tmp_path / "c.toml"
    file.write_text('[[window]]\nname = "always"\nkinds = ["batch"]\n')
    done = madang("group", "set", "big", "queue=fifo", "preemption=yes", "weight.kim=2", f"calendar=@{file}")
    assert done.returncode == 0, done.stderr
    for line in ("fifo", "weight.kim", "always: mon-sun 00:00-24:00, batch, any share of devices"):
        assert line in done.stdout
    assert json.loads(madang("group", "show", "big", "--json").stdout)["policy"]["preemption"] is True
    assert "모든 종류" in madang("group", "set", "big", f"calendar=@{_all_kinds(tmp_path)}", language="ko").stdout
    refused = madang("group", "set", "big", "queue=lottery")
    assert refused.returncode == 2
    assert "queue" in refused.stderr
    assert madang("group", "set", "forbidden", "queue=fifo").returncode == 1
    assert madang("group", "rm", "big").stdout == "big\n"


def _all_kinds(directory: Path) -> Path:
    file = directory / "all.toml"
    file.write_text('[[window]]\nname = "always"\n')
    return file


def test_reservations_are_added_listed_and_removed(madang: Madang) -> None:
    options = ["--gpu", "8", "--user", "alice", "--days", "mon-tue", "--from", "09:00", "--to", "12:00"]
    assert madang("reservation", "add", "class", *options).stdout == "class\n"
    [made] = json.loads(madang("reservation", "ls", "--json").stdout)
    assert (made["slots"], made["days"], made["timezone"]) == ({"cuda.device": 8}, ["mon", "tue"], "Asia/Seoul")
    assert "mon-tue 09:00-12:00 Asia/Seoul" in madang("reservation", "ls").stdout
    assert madang("reservation", "rm", "class").stdout == "class\n"
    assert "There are no reservations" in madang("reservation", "ls").stderr


def test_nodes_show_their_devices(madang: Madang, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [
        DeviceState(
            **DeviceInfo(
                kind="cuda", index=index, id=f"g{index}", model="A100", mem=40 << 30, numa=0, mock=True
            ).model_dump(),
            used=300 if index == 1 else 0,
            sessions=["mine"] if index == 1 else [],
        )
        for index in range(3)
    ]
    monkeypatch.setattr(platform.services.nodes, "devices", devices)
    assert "3x A100 (mock), 2.7 free" in madang("node", "ls").stdout
    assert "A100(모의) 3개 중 2.7 남음" in madang("node", "ls", language="ko").stdout
    lines = [line.split() for line in madang("node", "show", "here").stdout.splitlines()]
    assert ["GPU", "1", "A100", "(mock)", "40g", "0", "0.7", "mine"] in lines
    assert madang("node", "set", "here", "--group", "big").stdout == "here big\n"
