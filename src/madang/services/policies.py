"""Policies: limits with a name, and upon whom they are laid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, policies
from madang.db.rows import Holder, PolicyRow
from madang.domain.errors import Conflict, NotFound
from madang.domain.ids import Clock
from madang.domain.limits import parse_limits, write_limits
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.schemas.api import Policy, PolicyHolder, PolicyLimits

_WORDS: Final[Mapping[Holder, str]] = {
    "user": "user",
    "project": "project",
    "member": "project",
    "domain": "domain",
    "domain_user": "domain",
}


class PolicyService:
    """Everybody may see what there is; administrators change it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[Policy]:
        """By name; upon whom they are laid is told to administrators."""
        caller.require_scope(Right.CLUSTER_SEE)
        rows = await self._database.read(policies.every)
        return [_view(row, holders=caller.is_admin) for row in rows]

    async def put(self, caller: Caller, name: str, limits: PolicyLimits) -> Policy:
        """Make a policy, or give it other limits, which count from now on: what runs goes on. Raises InvalidInput."""
        caller.require(Right.POLICY_CHANGE)
        read = parse_limits(limits.model_dump(exclude_none=True))

        async def save(transaction: Transaction) -> None:
            now = self._clock.now()
            before = await policies.lock(transaction, name)
            await policies.save(transaction, name, read, now)
            then = None if before is None else dict(write_limits(before))
            target = audit.Target(name, name)
            await audit.record(transaction, caller, "policy.set", target, now, before=then, after=write_limits(read))

        await self._database.transaction(save, "policy.save")
        return next(one for one in await self.list(caller) if one.name == name)

    async def delete(self, caller: Caller, name: str) -> None:
        """Raises NotFound, and Conflict while it is laid upon somebody."""
        caller.require(Right.POLICY_CHANGE)

        async def remove(transaction: Transaction) -> None:
            if await policies.lock(transaction, name) is None:
                raise _unknown(name)
            row = next(one for one in await policies.every(transaction.connection) if one.name == name)
            if row.holders:
                some = ", ".join(f"{kind} {holder}" for kind, holder in row.holders[:3])
                raise Conflict(f"Policy '{name}' is laid upon {some}. Give them another one, or none, first.")
            now = self._clock.now()
            await policies.remove(transaction, name, now)
            await audit.record(transaction, caller, "policy.delete", audit.Target(name, name), now)

        await self._database.transaction(remove, "policy.delete")

    async def lay(self, caller: Caller, policy: str | None, upon: Holder, name: str) -> None:
        """Lay a policy upon a user, a project, each in a project, a domain, or each of a domain; None: none."""
        caller.require(Right.POLICY_CHANGE)

        async def lay(transaction: Transaction) -> None:
            if policy is not None and await policies.lock(transaction, policy) is None:
                raise _unknown(policy)
            now = self._clock.now()
            found = await policies.holder(transaction.connection, upon, name)
            if found is None:
                word = _WORDS[upon]
                raise NotFound(f"There is no {word} '{name[:80]}'. 'madang {word} ls' shows those there are.")
            target = audit.Target(found.id, name, found.domain_id)
            before = await policies.lay(transaction, policy, upon, target.id, now)
            values = {"before": {"policy": before}, "after": {"policy": policy}}
            await audit.record(transaction, caller, f"policy.lay.{upon}", target, now, **values)

        await self._database.transaction(lay, "policy.lay")


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no policy '{name[:60]}'. 'madang policy ls' shows those there are.")


def _view(row: PolicyRow, *, holders: bool) -> Policy:
    return Policy(
        name=row.name,
        limits=PolicyLimits.model_validate(write_limits(row.limits)),
        holders=[PolicyHolder(upon=kind, name=name) for kind, name in row.holders] if holders else None,
        created_at=row.created_at,
    )
