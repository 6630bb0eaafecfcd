"""API and SDK over the real use cases, a real database and a node in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from madang.api.app import create_app
from madang.api.server import ApiServer
from madang.domain.errors import Conflict, IdempotencyMismatch, NameInUse, NotFound, Unauthorized
from madang.domain.session import ExitReason, SessionState
from madang.sdk import AsyncClient
from tests.fakes import FakeAgent
from tests.loop_thread import LoopThread
from tests.world import World

SMALL: dict[str, str | int] = {"cpu": "0.1", "mem": "64m"}


class Served:
    """A manager with its API; both can be stopped and started anew over the same database and node."""

    def __init__(self, database_url: str, data_dir: Path) -> None:
        self._thread = LoopThread()
        self._port = 0
        self.world = World(database_url, data_dir, [FakeAgent()])
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

    def token_of(self, name: str) -> str:
        return self._thread.do(self.world.services.tokens.issue(name, "user", "test"))

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
