"""API and SDK over the real use cases, a real database and a node in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from madang.api.app import create_app
from madang.api.server import ApiServer
from madang.domain.errors import (
    Conflict,
    Forbidden,
    IdempotencyMismatch,
    ImpossibleRequest,
    InvalidInput,
    NameInUse,
    NotFound,
    Unauthorized,
)
from madang.domain.people import Role
from madang.domain.session import ExitReason, SessionState
from madang.schemas.api import CalendarWindow, GroupPolicy
from madang.sdk import AsyncClient
from tests.fakes import FakeAgent
from tests.loop_thread import LoopThread
from tests.world import World

SMALL: dict[str, str | int] = {"cpu": "0.1", "mem": "64m"}


class Served:
    """A manager with its API; both can be stopped and started anew over the same database and node."""

    def __init__(self, database_url: str, data_dir: Path, agents: Sequence[FakeAgent] = ()) -> None:
        self._thread = LoopThread()
        self._port = 0
        self.world = World(database_url, data_dir, agents or [FakeAgent()])
        self.start()
        self.token = self.token_of("alice")

    def start(self) -> None:
        async def go() -> None:
            await self.world.start()
            self._server = ApiServer.open(create_app(self.world.services), "127.0.0.1", self._port)
            await self._server.start()

        self._thread.do(go())
        self.url = self._server.url
        self._port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        async def go() -> None:
            await self._server.stop()
            await self.world.crash()

        self._thread.do(go())

    def token_of(self, name: str, role: Role = "user") -> str:
        return self._thread.do(self.world.services.tokens.issue(name, role, "test"))

    def say(self, session: str, text: bytes) -> None:
        self._thread.do(self._say(session, text))

    async def _say(self, session: str, text: bytes) -> None:
        self.world.agent.say(await self.world.container_of(session), text)

    def finish(self, session: str, code: int = 0) -> None:
        async def go() -> None:
            self.world.agent.finish(await self.world.container_of(session), code)

        self._thread.do(go())

    def close(self) -> None:
        self.stop()
        self._thread.close()


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[Served]:
    made = Served(database_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
async def alice(served: Served) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(served.url, served.token) as client:
        yield client


async def running(client: AsyncClient, name: str | None = None, upload: str | None = None) -> str:
    """A session that has reached its node."""
    session = await client.sessions.create(["sleep"], slots=SMALL, name=name, upload=upload)
    async for event in client.sessions.events(session.id):
        if event.kind == "session.running":
            return session.id
    raise AssertionError("it ended before it ran")


async def test_a_session_is_followed_from_the_wish_to_the_end(served: Served, alice: AsyncClient) -> None:
    ref = await running(alice, name="first")
    pieces = alice.sessions.logs("first")
    served.say(ref, b"epoch 1\n")
    assert (await anext(pieces)).data == b"epoch 1\n"
    waiting = asyncio.create_task(alice.sessions.wait(ref))
    served.say(ref, b"\xff")
    served.finish(ref, 3)
    assert [piece.data async for piece in pieces] == [b"\xff"]
    ended = await waiting
    assert ended.state is SessionState.FAILED
    assert ended.exit is not None
    assert (ended.exit.reason, ended.exit.code) == (ExitReason.EXITED, 3)
    kinds = [event.kind async for event in alice.sessions.events(ref)]
    assert kinds[0] == "session.pending"
    assert kinds[-1] == "session.failed"
    process = await alice.sessions.exec(ref, ["true"])
    with pytest.raises(Conflict):
        await process.wait()
    await process.close()


async def test_a_crash_of_the_manager_leaves_no_gap_in_the_logs(served: Served, alice: AsyncClient) -> None:
    ref = await running(alice)
    pieces = alice.sessions.logs(ref)
    served.say(ref, b"before ")
    assert (await anext(pieces)).data == b"before "
    await asyncio.to_thread(served.stop)
    served.world.agent.say(next(iter(served.world.agent.held)), b"meanwhile ")
    await asyncio.to_thread(served.start)
    served.say(ref, b"after")
    served.finish(ref)
    assert b"".join([piece.data async for piece in pieces]) == b"meanwhile after"
    assert (await alice.sessions.wait(ref)).state is SessionState.SUCCEEDED


async def test_users_do_not_see_what_others_have(served: Served, alice: AsyncClient) -> None:
    ref = await running(alice, name="mine")
    async with AsyncClient(served.url, served.token_of("bob")) as bob:
        assert [session.id async for session in bob.sessions.list()] == []
        for refused in (bob.sessions.get(ref), bob.sessions.stop("mine"), bob.files.list(ref), bob.sessions.usage(ref)):
            with pytest.raises(NotFound):
                await refused
        with pytest.raises(NotFound):
            await anext(bob.sessions.logs(ref))
        with pytest.raises(NotFound):
            await bob.sessions.exec(ref, ["sh"])
        assert (await running(bob, name="mine")) != ref
    async with AsyncClient(served.url, "mdg_" + "x" * 43) as stranger:
        with pytest.raises(Unauthorized):
            await stranger.me()


async def test_keys_and_names_are_kept_by_the_database(alice: AsyncClient) -> None:
    first = await alice.sessions.create(["sleep"], name="taken", slots=SMALL, idempotency_key="k")
    again = await alice.sessions.create(["sleep"], name="taken", slots=SMALL, idempotency_key="k")
    assert again.id == first.id
    with pytest.raises(IdempotencyMismatch):
        await alice.sessions.create(["sleep", "2"], name="taken", slots=SMALL, idempotency_key="k")
    with pytest.raises(NameInUse):
        await alice.sessions.create(["sleep"], name="taken", slots=SMALL)


async def test_pages_hold_everything_once_while_sessions_come(alice: AsyncClient) -> None:
    made = [(await alice.sessions.create(["exit", "0"], slots=SMALL)).id for _ in range(7)]
    seen: list[str] = []
    async for session in alice.sessions.list(page_size=2):
        seen.append(session.id)
        await alice.sessions.create(["exit", "0"], slots=SMALL)
        if len(seen) == len(made):
            break
    assert seen == made[::-1]


async def test_an_upload_reaches_the_work_directory(served: Served, alice: AsyncClient, tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    (job / "train.py").write_text("print()")
    upload = await alice.uploads.create(job)
    ref = await running(alice, upload=upload.id)
    (entry,) = await alice.files.list(ref)
    assert (entry.path, entry.size) == ("archive", upload.size)
    await alice.files.write(ref, "out.txt", b"result")
    assert await alice.files.read(ref, "out.txt") == b"result"


async def test_health_nodes_and_metrics_tell_of_the_platform(served: Served, alice: AsyncClient) -> None:
    await running(alice)
    assert [node.used["cpu"] for node in await alice.nodes.list()] == [100]
    assert {status.name for status in await alice.environments.list()} == {"python", "pytorch"}
    assert (await alice.health()).status == "ok"
    assert "madang_" in await alice.metrics()
    served.world.agent.reachable = False
    assert (await alice.health()).status != "ok"


@pytest.fixture
def gpus(database_url: str, tmp_path: Path) -> Iterator[Served]:
    """Two nodes with four A100 each."""
    agents = [FakeAgent(name, gpus=["A100"] * 4) for name in ("gpu-01", "gpu-02")]
    made = Served(database_url, tmp_path, agents)
    yield made
    made.close()


@pytest.fixture
async def users(gpus: Served) -> AsyncIterator[tuple[AsyncClient, AsyncClient, AsyncClient]]:
    """Clients of an administrator, of kim and of lee."""
    tokens = [gpus.token_of("root", "admin"), gpus.token_of("kim"), gpus.token_of("lee")]
    async with (
        AsyncClient(gpus.url, tokens[0]) as root,
        AsyncClient(gpus.url, tokens[1]) as kim,
        AsyncClient(gpus.url, tokens[2]) as lee,
    ):
        yield root, kim, lee


async def _running(client: AsyncClient, ref: str) -> None:
    async for event in client.sessions.events(ref):
        if event.kind == "session.running":
            return


async def test_two_users_share_gpus_and_see_no_more_of_each_other_than_they_need(
    users: tuple[AsyncClient, AsyncClient, AsyncClient],
) -> None:
    _, kim, lee = users
    for name in ("left", "right"):
        made = await kim.sessions.create(["train"], name=name, slots={**SMALL, "cuda.device": 3})
        await _running(kim, made.id)
    held = {node.name: [device.sessions for device in node.devices] for node in await kim.nodes.list()}
    assert sorted(map(sorted, held.values())) == [
        [[], ["left"], ["left"], ["left"]],
        [[], ["right"], ["right"], ["right"]],
    ]
    assert all(not device.sessions for node in await lee.nodes.list() for device in node.devices)
    assert sum(device.used for node in await lee.nodes.list() for device in node.devices) == 6000

    answer = await lee.sessions.plan(["train"], slots={**SMALL, "cuda.device": 2}, models="A100")
    assert not answer.starts
    assert answer.reason.startswith("needs 2 A100 GPUs; the best node of group default (gpu-01) has 1 free")
    waiting = await lee.sessions.create(["train"], slots={**SMALL, "cuda.device": 2}, models="A100")
    assert (await lee.sessions.plan(["train"], slots={**SMALL, "cuda.shares": "0.5"})).starts
    await kim.sessions.stop("left", 0)
    await _running(lee, waiting.id)
    [container] = (await lee.sessions.get(waiting.id)).containers
    assert [(one.kind, one.milli) for one in container.devices] == [("cuda", 1000)] * 2


async def test_refusals_over_the_api_are_those_of_the_use_cases(
    users: tuple[AsyncClient, AsyncClient, AsyncClient],
) -> None:
    root, kim, lee = users
    with pytest.raises(ImpossibleRequest, match=r"the nearest, gpu-01, has 4\. Ask for 4, or for 8 on several"):
        await kim.sessions.create(["x"], slots={**SMALL, "cuda.device": 8})
    with pytest.raises(Forbidden, match="given by an administrator"):
        await kim.sessions.plan(["x"], slots=SMALL, priority=10)
    secret = await kim.sessions.create(["x"], slots=SMALL)
    with pytest.raises(NotFound, match="no session"):
        await lee.sessions.create(["x"], slots=SMALL, after=[secret])
    with pytest.raises(Forbidden):
        await kim.groups.set("default", GroupPolicy())
    with pytest.raises(InvalidInput, match="No window covers Monday 18:00 to Tuesday 09:00"):
        await root.groups.set("default", GroupPolicy(calendar=[CalendarWindow(name="day", start="09:00", end="18:00")]))
    with pytest.raises(Forbidden):
        await kim.nodes.update("gpu-01", resource_group="default")


async def test_a_reserved_room_is_kept_and_used_by_its_users_only(
    users: tuple[AsyncClient, AsyncClient, AsyncClient], gpus: Served
) -> None:
    root, kim, lee = users
    now = gpus.world.clock.now()
    await root.reservations.create(
        "class",
        slots={"cuda.device": 8},
        users=["kim"],
        starts_at=now,
        ends_at=now + timedelta(hours=3),
    )
    assert [one.name for one in await kim.reservations.list()] == ["class"]
    assert await lee.reservations.list() == []
    for longest in (None, 60):
        answer = await lee.sessions.plan(["x"], slots={**SMALL, "cuda.device": 1}, max_seconds=longest)
        assert not answer.starts
        assert answer.waiting is not None
        assert answer.waiting.code == "reserved"
    assert (await lee.sessions.plan(["x"], slots=SMALL)).starts
    assert (await kim.sessions.plan(["x"], slots={**SMALL, "cuda.device": 4}, reservation="class")).starts
