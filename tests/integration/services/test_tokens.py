"""Access tokens: what they may do, when they end, and that what they opened ends with them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from madang.db.tables import tokens as table
from madang.domain.errors import Forbidden, InvalidInput, NotFound, Unauthorized
from madang.domain.people import Caller
from madang.domain.rights import Scope
from madang.schemas.api import NewToken, TokenCreate
from tests.world import World


async def _make(
    world: World, caller: Caller, *, scopes: list[Scope] | None = None, days: int | None = None
) -> NewToken:
    expires_at = None if days is None else world.clock.now() + timedelta(days=days)
    return await world.services.tokens.create(caller, TokenCreate(label="ci", scopes=scopes, expires_at=expires_at))


async def test_a_token_is_shown_once_and_kept_as_a_hash_only(idle_world: World) -> None:
    tokens, ann = idle_world.services.tokens, await idle_world.caller("ann", "user")
    made = await _make(idle_world, ann)
    assert (await tokens.authenticate(made.token)).name == "ann"
    listed = (await tokens.list(ann))[0]
    assert (listed.id, listed.label, "token" in listed.model_dump()) == (made.id, "ci", False)
    assert listed.last_used_at is not None
    rows = await idle_world.database.read(lambda connection: connection.execute(select(table)))
    stored = [value for row in rows for value in row]
    assert not any(made.token.encode() in (value, str(value).encode()) for value in stored)
    for value in stored:  # nor does anything that is stored authenticate
        with pytest.raises(Unauthorized):
            await tokens.authenticate(value.hex() if isinstance(value, bytes) else str(value))


async def test_a_limited_token_does_no_more_and_makes_none_that_does(idle_world: World) -> None:
    services, ann = idle_world.services, await idle_world.caller("ann", "user")
    made = await _make(idle_world, ann, scopes=[Scope.SESSIONS_READ, Scope.ACCOUNT])
    limited = await services.tokens.authenticate(made.token)
    assert (await services.sessions.list(limited)).items == []
    with pytest.raises(Forbidden, match="sessions:write"):
        await idle_world.run(limited)
    with pytest.raises(Forbidden, match="lacks sessions:write"):
        await _make(idle_world, limited, scopes=[Scope.SESSIONS_WRITE])
    again = await _make(idle_world, limited)
    assert again.scopes == sorted([Scope.ACCOUNT, Scope.SESSIONS_READ])


async def test_a_token_ends_when_it_says_or_is_taken_back(idle_world: World) -> None:
    tokens, ann = idle_world.services.tokens, await idle_world.caller("ann", "user")
    bob = await idle_world.caller("bob", "user")
    short, other = await _make(idle_world, ann, days=1), await _make(idle_world, ann)
    with pytest.raises(InvalidInput, match="already"):
        await _make(idle_world, ann, days=-1)
    with pytest.raises(NotFound, match="You have no token"):
        await tokens.revoke(bob, other.id)
    await tokens.authenticate(other.token)  # remembered by now
    await tokens.revoke(ann, other.id)
    with pytest.raises(Unauthorized, match="revoked"):
        await tokens.authenticate(other.token)
    with pytest.raises(NotFound):
        await tokens.revoke(ann, other.id)
    idle_world.clock.ahead = timedelta(days=2)
    tokens._remembered.clear()
    with pytest.raises(Unauthorized, match="expired"):
        await tokens.authenticate(short.token)


async def test_whoever_holds_a_connection_open_learns_that_the_token_is_gone(idle_world: World) -> None:
    tokens, ann = idle_world.services.tokens, await idle_world.caller("ann", "user")
    mine = [await _make(idle_world, ann) for _ in range(3)]
    first, second, third = [await tokens.authenticate(one.token) for one in mine]
    gone = [asyncio.create_task(tokens.changed(caller)) for caller in (first, second, third)]
    await tokens.revoke(ann, mine[0].id)
    await asyncio.wait_for(gone[0], 5)
    assert not gone[1].done()
    async with idle_world.database._engine.begin() as connection:
        await connection.execute(text("UPDATE users SET active = false WHERE name = 'ann'"))
    await asyncio.wait_for(asyncio.gather(gone[1], gone[2]), 5)
    tokens._remembered.clear()
    with pytest.raises(Unauthorized, match="disabled"):
        await tokens.authenticate(mine[1].token)
