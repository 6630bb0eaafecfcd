"""The platform killed with SIGKILL at the worst moments: nothing is lost, doubled, orphaned or left half-done."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from madang.domain.errors import MadangError
from madang.domain.ids import new_id
from madang.schemas.api import Session
from madang.sdk import Client
from tests.integration.cli.conftest import MADANG, START_SECONDS, Up, wait_for

ENDED = ("succeeded", "failed", "stopped", "cancelled", "lost")
TINY = {"cpu": "0.1", "mem": "64m"}


@pytest.fixture
def killed() -> Iterator[Up]:
    made = Up()
    made.start()
    yield made
    made.close()


def client_of(up: Up) -> Client:
    connection = json.loads((up.data_dir / "connection.json").read_text())
    # Little patience with a server that is gone: here somebody killed it on purpose.
    return Client(connection["url"], connection["token"], patience=0.2)


def reaches(client: Client, ref: str, *states: str) -> None:
    wait_for(lambda: client.sessions.get(ref).state.value in states, 60)


def settled(client: Client, ref: str) -> Session:
    """The session once it has ended."""
    reaches(client, ref, *ENDED)
    return client.sessions.get(ref)


def text_of(client: Client, ref: str) -> str:
    return b"".join(piece.data for piece in client.sessions.logs(ref)).decode()


def leftovers(up: Up) -> list[str]:
    """Command lines of processes that carry this platform's sessions, however they are called."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            environ = (process / "environ").read_bytes()
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"MADANG_SESSION_ID=" in environ and str(up.data_dir).encode() in environ:
            found.append(words.replace(b"\0", b" ").decode())
    return found


def test_ten_sessions_outlive_a_killed_platform(killed: Up) -> None:
    counting = "i=0; while [ ! -e stop ]; do echo $i; i=$((i+1)); sleep 0.02; done; exit 7"
    ending = "echo begin; sleep 1; echo end; exit {code}"
    with client_of(killed) as client:
        runners = [client.sessions.create(["sh", "-c", counting], environment="bare", slots=TINY) for _ in range(5)]
        enders = [
            client.sessions.create(["sh", "-c", ending.format(code=code)], environment="bare", slots=TINY)
            for code in range(5)
        ]
        for session in (*runners, *enders):
            reaches(client, session.id, "running", *ENDED)
    killed.stop(signal.SIGKILL)
    containers = killed.data_dir / "agent" / "containers"
    wait_for(lambda: len(list(containers.glob("*/exit.json"))) >= 5, 60)
    killed.start()
    with client_of(killed) as client:
        for code, session in enumerate(enders):
            after = settled(client, session.id)
            assert after.exit is not None
            assert after.exit.code == code
            assert text_of(client, session.id) == "begin\nend\n"
        running = [client.sessions.get(session.id) for session in runners]
        assert [session.state.value for session in running] == ["running"] * 5
        node = client.nodes.list()[0]
        assert node.used == {"cpu": 500, "mem": 5 * (64 << 20)}
        for session in runners:
            client.files.write(session.id, "stop", b"")
        for session in runners:
            after = settled(client, session.id)
            assert after.exit is not None
            assert after.exit.code == 7
            lines = text_of(client, session.id).split()
            assert lines == [str(number) for number in range(len(lines))]
        wait_for(lambda: not any(client.nodes.list()[0].used.values()))
    assert leftovers(killed) == []


class Faulty(Up):
    """A platform that can be told to kill itself at its n-th write point from now on."""

    def __init__(self) -> None:
        super().__init__()
        self._armed = self.data_dir / "armed"

    def start_with(self, fault: str = "") -> None:
        self._armed.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*MADANG, "up", "--port", "0", "--no-prebuild"],
                env={**self.environ, "MADANG_FAULT": fault or f"kill:{self._armed}"},
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: "Madang is ready" in self.said() or self._ended(), START_SECONDS)
        assert not self._ended(), self.said()

    def arm(self, point: int) -> None:
        written = self._armed.with_suffix(".new")
        written.write_text(str(point))
        written.rename(self._armed)

    def killed_itself(self) -> bool:
        assert self._process is not None
        return self._process.wait(30) == -signal.SIGKILL


@pytest.fixture(scope="module")
def faulty() -> Iterator[Faulty]:
    made = Faulty()
    made.start()  # makes the database and the environment
    made.stop()
    yield made
    made.start()
    made.close()


def live_and_die(client: Client, key: str) -> None:
    """Create, run, stop and delete two sessions, as far as the platform lives."""
    short = client.sessions.create(
        ["sh", "-c", "echo once"], environment="bare", slots=TINY, name=f"a{key}", idempotency_key=f"a{key}"
    )
    long = client.sessions.create(
        ["sh", "-c", "echo up; sleep 600"], environment="bare", slots=TINY, name=f"b{key}", idempotency_key=f"b{key}"
    )
    reaches(client, long.id, "running")
    client.sessions.stop(long.id, grace_seconds=0)
    for session in (short, long):
        reaches(client, session.id, *ENDED)
        client.sessions.delete(session.id)


def write_points(up: Faulty, names: Path) -> int:
    """How many write points a life has."""
    up.start_with(f"count:{names}")
    at_start = len(names.read_text().splitlines())
    with client_of(up) as client:
        live_and_die(client, "count")
    wait_for(lambda: not list((up.data_dir / "agent" / "containers").iterdir()))
    in_all = len(names.read_text().splitlines())
    up.stop()
    return in_all - at_start


@pytest.mark.timeout(1200)  # a start of the platform for each of some forty points
def test_a_kill_at_every_write_point_of_create_and_stop(faulty: Faulty, tmp_path: Path) -> None:
    points = write_points(faulty, tmp_path / "points")
    assert points > 20, "the points of a life are not seen"
    faulty.start_with()
    for point in range(1, points + 1):
        key = f"{point}-{new_id()[-6:]}"
        faulty.arm(point)
        try:
            with client_of(faulty) as client:
                live_and_die(client, key)
        except (MadangError, AssertionError, OSError):
            assert faulty.killed_itself(), f"point {point}: {faulty.said()}"
        else:  # this life had fewer points than the first
            faulty.stop()
        faulty.start_with()
        converges(faulty, key)
    faulty.stop()


def converges(up: Faulty, key: str) -> None:
    """After the next start the same requests, sent again, lead to exactly what was asked for."""
    with client_of(up) as client:
        known = {session.name: session for session in client.sessions.list(name=None)}
        for name in (f"a{key}", f"b{key}"):
            session = known.get(name)
            if session is None:
                continue  # never acknowledged, or deleted
            if name.startswith("b"):
                client.sessions.stop(session.id, grace_seconds=0)
            after = settled(client, session.id)
            if name.startswith("a"):
                assert after.state.value == "succeeded", (key, after)
                assert text_of(client, session.id) == "once\n", key
            else:
                assert after.state.value in ("stopped", "cancelled"), (key, after)
            client.sessions.delete(session.id)
        wait_for(lambda: not any(client.nodes.list()[0].used.values()))
        wait_for(lambda: not list((up.data_dir / "agent" / "containers").iterdir()))
    assert leftovers(up) == [], key


def test_a_killed_database_comes_back_under_load(killed: Up) -> None:
    with client_of(killed) as client:
        client.sessions.create(["sh", "-c", "echo before"], environment="bare", slots=TINY, name="before")
        settled(client, "before")
        pid_file = next(killed.data_dir.glob("postgres/postmaster.pid"))
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
        deadline = time.monotonic() + 30
        made = 0
        while made < 20:
            try:
                client.sessions.create(
                    ["sh", "-c", "echo after"],
                    environment="bare",
                    slots=TINY,
                    name=f"after-{made}",
                    idempotency_key=f"after-{made}",
                )
                made += 1
            except MadangError as error:
                assert re.search("unavailable|not answer|database", error.message, re.IGNORECASE), error
                assert time.monotonic() < deadline
        for number in range(20):
            assert settled(client, f"after-{number}").state.value == "succeeded"
            assert text_of(client, f"after-{number}") == "after\n"
        wait_for(lambda: not any(client.nodes.list()[0].used.values()))
