"""Creation under concurrency: one key makes one session, one name one live session, and nobody sees another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from madang.domain.errors import (
    Conflict,
    IdempotencyMismatch,
    InvalidInput,
    NameInUse,
    NotFound,
    Unauthorized,
    UnsafePath,
)
from madang.domain.session import SessionKind, SessionState
from madang.schemas.api import Session, SessionCreate, SessionQuery
from tests.world import World

_REQUEST = SessionCreate(command=["sleep"], slots={"cpu": "0.1", "mem": "64m"})


async def test_concurrent_requests_with_one_key_make_one_session(idle_world: World) -> None:
    sessions = idle_world.services.sessions
    caller = await idle_world.caller()
    made = await asyncio.gather(*(sessions.create(caller, _REQUEST, "key") for _ in range(20)))
    assert len({one.id for one in made}) == 1
    assert len((await sessions.list(caller)).items) == 1


async def test_a_key_with_another_request_is_refused(idle_world: World) -> None:
    sessions = idle_world.services.sessions
    caller = await idle_world.caller()
    await sessions.create(caller, _REQUEST, "key")
    with pytest.raises(IdempotencyMismatch):
        await sessions.create(caller, _REQUEST.model_copy(update={"name": "other"}), "key")


async def test_keys_of_two_users_are_apart(idle_world: World) -> None:
    sessions = idle_world.services.sessions
    one, two = await idle_world.caller("one", "user"), await idle_world.caller("two", "user")
    assert (await sessions.create(one, _REQUEST, "key")).id != (await sessions.create(two, _REQUEST, "key")).id


async def test_a_refused_request_leaves_its_key_unused(idle_world: World) -> None:
    sessions = idle_world.services.sessions
    caller = await idle_world.caller()
    named = _REQUEST.model_copy(update={"name": "mine"})
    first = await sessions.create(caller, named)
    with pytest.raises(NameInUse):
        await sessions.create(caller, named, "key")
    await sessions.stop(caller, first.id)
    assert (await sessions.create(caller, named, "key")).name == "mine"


async def test_of_concurrent_requests_with_one_name_one_wins(idle_world: World) -> None:
    sessions = idle_world.services.sessions
    caller = await idle_world.caller()
    named = _REQUEST.model_copy(update={"name": "mine"})
    results = await asyncio.gather(*(sessions.create(caller, named) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(one, Session) for one in results) == 1
    assert sum(isinstance(one, NameInUse) for one in results) == 9


async def test_a_user_sees_only_own_sessions_and_an_admin_all(idle_world: World) -> None:
    sessions = idle_world.services.sessions
    one, two = await idle_world.caller("one", "user"), await idle_world.caller("two", "user")
    admin = await idle_world.caller()
    made = await sessions.create(one, _REQUEST.model_copy(update={"name": "mine"}))
    for ref in (made.id, "mine"):
        with pytest.raises(NotFound):
            await sessions.get(two, ref)
        with pytest.raises(NotFound):
            await sessions.stop(two, ref)
        with pytest.raises(NotFound):
            await sessions.delete(two, ref)
        assert (await sessions.get(admin, ref)).owner == "one"
    assert (await sessions.list(two)).items == []


async def test_a_name_means_the_live_session_else_the_newest(idle_world: World) -> None:
    sessions = idle_world.services.sessions
    caller = await idle_world.caller()
    named = _REQUEST.model_copy(update={"name": "mine"})
    for _ in range(2):
        last = await sessions.create(caller, named)
        await sessions.stop(caller, last.id)
    assert (await sessions.get(caller, "mine")).id == last.id
    live = await sessions.create(caller, named)
    assert (await sessions.get(caller, "mine")).id == live.id


async def test_pages_are_newest_first_and_complete(idle_world: World) -> None:
    sessions = idle_world.services.sessions
    caller = await idle_world.caller()
    made = [(await sessions.create(caller, _REQUEST)).id for _ in range(7)]
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await sessions.list(caller, SessionQuery(limit=3, cursor=cursor))
        found += [one.id for one in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(found) == sorted(made)
    assert found == sorted(found, reverse=True)
    assert (await sessions.list(caller, SessionQuery(state=[SessionState.RUNNING]))).items == []
    waiting = SessionQuery(kind=SessionKind.BATCH, state=[SessionState.PENDING])
    assert len((await sessions.list(caller, waiting)).items) == 7


async def test_only_good_tokens_are_let_in(idle_world: World) -> None:
    tokens = idle_world.services.tokens
    good = await tokens.issue("somebody", "user", "test")
    assert (await tokens.authenticate(good)).name == "somebody"
    for bad in ("", "mdg_short", good[:-1], good + "x", "mdg_" + "A" * 43):
        with pytest.raises(Unauthorized):
            await tokens.authenticate(bad)


async def test_an_upload_of_somebody_else_cannot_be_used(idle_world: World) -> None:
    one, two = await idle_world.caller("one", "user"), await idle_world.caller("two", "user")
    upload = await idle_world.services.uploads.accept(one, _blocks(b"\0" * 1024))
    with pytest.raises(NotFound, match="no upload"):
        await idle_world.run(two, upload=upload.id)
    assert (await idle_world.run(one, upload=upload.id)).id


async def test_a_refused_upload_leaves_nothing_behind(idle_world: World) -> None:
    caller = await idle_world.caller()
    with pytest.raises(InvalidInput):
        await idle_world.services.uploads.accept(caller, _blocks(b"no archive"))
    assert list((idle_world.settings.data_dir / "uploads").iterdir()) == []


async def test_files_of_a_session_that_waits_are_a_conflict_and_bad_paths_are_refused(world: World) -> None:
    caller = await world.caller()
    first = await world.run(caller, slots={"cpu": "4"})
    await world.until(caller, first.id, SessionState.RUNNING)
    waiting = await world.run(caller)
    with pytest.raises(Conflict, match="has no files yet"):
        await world.services.sessions.list_files(caller, waiting.id)
    world.agent.fail("read_file", UnsafePath("It leaves."))
    with pytest.raises(UnsafePath):
        await world.services.sessions.read_file(caller, first.id, "../x")


async def _blocks(data: bytes) -> AsyncIterator[bytes]:
    yield data
