"""The audit: every change by a person is in it, with the change itself, and it cannot be rewritten."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from madang.db.repositories import audit
from madang.domain.errors import Forbidden, InvalidInput, NotFound
from madang.domain.people import Caller
from madang.loops.reap import ReapLoop
from madang.schemas.api import AuditEntry, GroupPolicy, TokenCreate
from madang.schemas.money import Retention
from madang.services.audit import AuditFilter
from tests.world import World


async def _all(world: World, caller: Caller, **wanted: object) -> list[AuditEntry]:
    return (await world.services.audit.list(caller, AuditFilter(**wanted), limit=200)).items  # type: ignore[arg-type]


async def test_who_did_what_from_where_is_written_with_what_changed(idle_world: World) -> None:
    services = idle_world.services
    admin = replace(await idle_world.caller(), address="192.0.2.7")
    made = await idle_world.run(admin, name="job")
    await services.sessions.stop(admin, made.id)
    await services.sessions.delete(admin, made.id)
    await services.groups.put(admin, "night", GroupPolicy())
    await services.groups.put(admin, "night", GroupPolicy(queue="fifo"))
    await services.groups.delete(admin, "night")
    token = await services.tokens.create(admin, TokenCreate(label="ci"))
    await services.tokens.revoke(admin, token.id)
    found = await _all(idle_world, admin)
    assert [(one.action, one.target) for one in reversed(found)] == [
        ("session.create", "job"),
        ("session.stop", "job"),
        ("session.delete", "job"),
        ("group.set", "night"),
        ("group.set", "night"),
        ("group.delete", "night"),
        ("token.create", "ci"),
        ("token.revoke", "ci"),
    ]
    assert {(one.actor, one.address, one.credential) for one in found} == {("admin", "192.0.2.7", admin.credential)}
    changed = found[3]
    assert (changed.before, changed.after) == ({"queue": "drf"}, {"queue": "fifo"})
    assert token.token not in str(found)


async def test_it_is_filtered_and_read_page_by_page(idle_world: World) -> None:
    admin, ann = await idle_world.caller(), await idle_world.caller("ann", "user")
    made = [await idle_world.run(ann, name=f"job-{number}") for number in range(5)]
    await idle_world.services.sessions.stop(admin, made[2].id)
    assert {one.target for one in await _all(idle_world, admin, actor="ann")} == {one.name for one in made}
    assert [one.actor for one in await _all(idle_world, admin, action="session.stop")] == ["admin"]
    assert len(await _all(idle_world, admin, action="session")) == 6
    assert await _all(idle_world, admin, action="sess") == []
    assert [one.action for one in await _all(idle_world, admin, target=made[2].id)] == [
        "session.stop",
        "session.create",
    ]
    now = idle_world.clock.now()
    assert await _all(idle_world, admin, since=now) == []
    assert len(await _all(idle_world, admin, until=now)) == 6
    pages, cursor = [], None
    while True:
        page = await idle_world.services.audit.list(admin, limit=4, cursor=cursor)
        pages.append(page.items)
        if (cursor := page.next) is None:
            break
    assert [len(page) for page in pages] == [4, 2]
    with pytest.raises(InvalidInput):
        await idle_world.services.audit.list(admin, cursor="nonsense")


async def test_only_administrators_read_it_and_those_of_a_domain_their_own(idle_world: World) -> None:
    ann = await idle_world.caller("ann", "user")
    head = await idle_world.caller("head", "domain_admin")
    await idle_world.run(ann, name="job")
    await idle_world.services.groups.put(await idle_world.caller(), "night", GroupPolicy())
    with pytest.raises(Forbidden, match="domain administrator, administrator"):
        await idle_world.services.audit.list(ann)
    assert [one.action for one in await _all(idle_world, head)] == ["session.create"]
    assert await _all(idle_world, replace(head, domain_id="elsewhere")) == []


async def test_what_is_refused_leaves_nothing(idle_world: World) -> None:
    admin = await idle_world.caller()
    with pytest.raises(NotFound):
        await idle_world.services.tokens.revoke(admin, "0" * 26)
    assert await _all(idle_world, admin) == []


async def test_nothing_is_changed_or_taken_away_but_what_is_too_old(idle_world: World) -> None:
    admin = await idle_world.caller()
    await idle_world.run(admin, name="job")
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(DBAPIError, match="append-only"):
            async with idle_world.database._engine.begin() as connection:
                await connection.execute(text(statement))
    now = idle_world.clock.now()
    for days, left in ((-1, 1), (1, 0)):
        await _forget(idle_world, now + timedelta(days=days))
        assert len(await _all(idle_world, admin)) == left


async def _forget(world: World, before: datetime) -> None:
    await world.database.transaction(lambda transaction: audit.forget(transaction, before), "test")


async def test_how_long_it_is_kept_is_changed_without_a_restart(idle_world: World) -> None:
    services = idle_world.services
    admin, ann = await idle_world.caller(), await idle_world.caller("ann", "user")
    await idle_world.run(ann, name="old")
    idle_world.clock.ahead += timedelta(days=40)
    assert (await services.audit.retention(admin)).days == 0
    await idle_world.reap.step()
    assert len(await _all(idle_world, admin, target="old")) == 1  # for ever
    await services.audit.keep(admin, Retention(days=30))
    idle_world.reap = ReapLoop(
        idle_world.settings, database=idle_world.database, fabric=idle_world.fabric, clock=idle_world.clock
    )
    await idle_world.reap.step()
    [left] = await _all(idle_world, admin)
    assert (left.action, left.before, left.after) == ("audit.retention", {"days": 0}, {"days": 30})
    head = await idle_world.caller("head", "domain_admin")
    with pytest.raises(Forbidden):
        await services.audit.keep(head, Retention(days=1))
