"""The accounts of people of other systems: made when they first come, and kept as those systems say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import structlog

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, credentials, identities, keys, projects, users
from madang.db.repositories.credentials import AccountRow
from madang.db.rows import ProjectRow, UserRow
from madang.domain.errors import Unauthorized, Unavailable
from madang.domain.ids import Clock, new_id
from madang.domain.names import USER_PATTERN
from madang.domain.people import DEFAULT_PROJECT, Caller, ProjectRole, project_path
from madang.services.identity.base import Identity, projects_of
from madang.services.identity.sources import SourceRules

_log = structlog.get_logger(__name__)

_DISABLED: Final = "This account is disabled. Ask an administrator."
_NAME: Final = re.compile(USER_PATTERN)
_EMAIL: Final = re.compile(r"[^@\s\x00]+@[^@\s\x00]+")
_EMAIL_AT_MOST: Final = 254
_FULL_NAME_AT_MOST: Final = 200


class Accounts:
    """An account belongs to an identity by source and subject only, never because a name or an address is the same."""

    def __init__(self, database: Database, clock: Clock, rules: Mapping[str, SourceRules]) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules

    async def settle(self, identity: Identity) -> str:
        """The id of the account of somebody whom a source has recognised; made, or brought up to date.

        Raises Unauthorized when the account is disabled, may not be made, or its name belongs to somebody else.
        """
        rules = self._rules[identity.source]

        async def save(transaction: Transaction) -> str:
            now = self._clock.now()
            found = await identities.lock(transaction, identity.source, identity.subject)
            if found is None:
                user_id = await self._make(transaction, rules, identity, now)
            elif found[1]:
                raise Unauthorized("This account is just being deleted. Ask an administrator.")
            else:
                user_id = found[0]
            account = await credentials.lock(transaction, user_id)
            if account is None or not account.active:
                raise Unauthorized(_DISABLED)
            if found is not None:
                await _describe(transaction, account, identity, now)
            await _place(transaction, account, projects_of(identity.groups, rules.groups), identity.source, now)
            return user_id

        return await self._database.transaction(save, "accounts.settle")

    async def end(self, user_id: str, source: str) -> bool:
        """Take every credential back of somebody whom a source knows no more; whether there was any."""

        async def save(transaction: Transaction) -> bool:
            now = self._clock.now()
            account = await credentials.lock(transaction, user_id)
            if account is None or account.source != source:
                return False
            count = await credentials.sign_out(transaction, user_id, now)
            count += await keys.revoke_all(transaction, user_id, now)
            if count:
                after: dict[str, object] = {"source": source, "credentials": count}
                await audit.record(transaction, _self(account), "user.signed_out", _target(account), now, after=after)
            return bool(count)

        return await self._database.transaction(save, "accounts.end")

    async def _make(self, transaction: Transaction, rules: SourceRules, identity: Identity, now: datetime) -> str:
        """Raises Unauthorized, Unavailable when the settings name no domain that there is."""
        source = rules.title
        linked = f"madang user link NAME {identity.source} '{identity.subject}'"
        if not rules.create:
            raise Unauthorized(
                f"'{source}' knows you, but you have no account here. Ask an administrator to make one and to link it: "
                f"{linked}."
            )
        name = unicodedata.normalize("NFKC", identity.name).strip().lower()
        if not _NAME.fullmatch(name):
            raise Unauthorized(
                f"What '{source}' calls you, '{identity.name[:80]}', cannot be a name here. Ask an administrator to "
                f"make an account and to link it: {linked}."
            )
        home = await identities.domain_id(transaction, rules.domain)
        if home is None:
            raise Unavailable(
                f"Newcomers of '{source}' belong to a domain '{rules.domain}' that is not there. An administrator has "
                f"to make it, or to name another one in sign-in.toml."
            )
        row = UserRow(
            id=new_id(),
            name=name,
            role="user",
            domain_id=home,
            domain=rules.domain,
            created_at=now,
            email=_email(identity),
            full_name=identity.full_name[:_FULL_NAME_AT_MOST],
        )
        path = project_path(rules.domain, DEFAULT_PROJECT)
        joined = await identities.projects_at(transaction, [path])
        if not await users.add(transaction, row, {one.id: ProjectRole.MEMBER for one in joined.values()}):
            # Somebody else has the name, or the same person came twice at the same moment.
            again = await identities.lock(transaction, identity.source, identity.subject)
            if again is not None:
                return again[0]
            raise Unauthorized(
                f"There is another account '{name}' here, and an equal name is no proof that it is yours. If it is, "
                f"ask an administrator to link it: madang user link {name} {identity.source} '{identity.subject}'."
            )
        await identities.tie(transaction, row.id, identity.source, identity.subject)
        target = audit.Target(row.id, row.name, row.domain_id)
        caller = Caller(row.id, row.name, row.role, row.domain_id)
        after: dict[str, object] = {"source": identity.source, "subject": identity.subject, "domain": row.domain}
        await audit.record(transaction, caller, "user.create", target, now, after=after)
        return row.id


async def _describe(transaction: Transaction, account: AccountRow, identity: Identity, now: datetime) -> None:
    """Write the person's name and address as the source has them; what it does not tell stays."""
    before: dict[str, object] = {"email": account.email, "full_name": account.full_name}
    email = _email(identity) or account.email
    full_name = identity.full_name[:_FULL_NAME_AT_MOST] or account.full_name
    after: dict[str, object] = {"email": email, "full_name": full_name}
    if before == after:
        return
    await identities.describe(transaction, account.id, email, full_name)
    await audit.record(transaction, _self(account), "user.set", _target(account), now, before=before, after=after)


async def _place(
    transaction: Transaction, account: AccountRow, wanted: Mapping[str, ProjectRole], source: str, now: datetime
) -> None:
    """Put somebody where the rules say, and take back what rules once gave. What a person gave stays as it is."""
    held = await identities.places(transaction, account.id)
    found = await identities.projects_at(transaction, wanted) if wanted else {}
    for path in wanted.keys() - found.keys():
        _log.warning("no_such_project", source=source, project=path)
    for path, project in found.items():
        place = held.get(project.id)
        if place is not None and (place.source is None or (place.role, place.source) == (wanted[path], source)):
            continue
        await projects.set_member(transaction, project, account.id, wanted[path], at=now, source=source)
        role = wanted[path].value
        transaction.emit(
            "project.member", now, {"project": path, "user": account.name, "role": role, "expires_at": None}
        )
        before = None if place is None else {account.name: place.role.value}
        await _record(transaction, account, project, now, before=before, after={account.name: role})
    kept = {project.id for project in found.values()}
    for place in held.values():
        if place.source is None or place.project.id in kept:
            continue
        await projects.remove_member(transaction, place.project, account.id)
        transaction.emit("project.member_gone", now, {"project": place.project.path, "user": account.name})
        await _record(transaction, account, place.project, now, before={account.name: place.role.value}, after=None)


async def _record(
    transaction: Transaction,
    account: AccountRow,
    project: ProjectRow,
    now: datetime,
    *,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
) -> None:
    target = audit.Target(project.id, project.path, project.domain_id)
    await audit.record(transaction, _self(account), "project.member", target, now, before=before, after=after)


def _email(identity: Identity) -> str | None:
    email = identity.email
    return email if len(email) <= _EMAIL_AT_MOST and _EMAIL.fullmatch(email) else None


def _self(account: AccountRow) -> Caller:
    """The account as the one who does something, since its own sign-in is the reason."""
    return Caller(account.id, account.name, account.role, account.domain_id)


def _target(account: AccountRow) -> audit.Target:
    return audit.Target(account.id, account.name, account.domain_id)
