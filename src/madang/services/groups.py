"""Use cases of resource groups: how a set of nodes is shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, groups, nodes
from madang.db.repositories.access import by_names, names
from madang.db.rows import GroupRow
from madang.domain.calendar import check_calendar, zone_of
from madang.domain.errors import Conflict, NotFound
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.schemas.api import DEFAULT_GROUP, GroupAccess, GroupPolicy, ResourceGroup
from madang.services.cluster import weekly_windows

Everybody = Literal["everybody"]


class GroupService:
    """Everybody sees the groups that are open to them; administrators see all, and change them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[ResourceGroup]:
        """By name; to whom they are open is told to administrators."""
        caller.require(Right.CLUSTER_SEE)

        async def read(connection: AsyncConnection) -> list[ResourceGroup]:
            members: dict[str, list[str]] = {}
            for node in await nodes.every(connection):
                members.setdefault(node.resource_group, []).append(node.name)
            loads = await groups.loads(connection)
            return [
                ResourceGroup(
                    name=group.name,
                    policy=group.policy,
                    access=await _access(connection, group) if caller.is_admin else None,
                    nodes=members.get(group.name, []),
                    pending=loads[group.name].pending if group.name in loads else 0,
                    running=loads[group.name].holding if group.name in loads else 0,
                )
                for group in await groups.seen_by(connection, caller)
            ]

        return await self._database.read(read)

    async def get(self, caller: Caller, name: str) -> ResourceGroup:
        """Raises NotFound, naming those that the caller may see."""
        found = await self.list(caller)
        for group in found:
            if group.name == name:
                return group
        known = ", ".join(group.name for group in found)
        raise NotFound(f"There is no resource group '{name[:60]}'. Known are: {known}.")

    async def put(
        self, caller: Caller, name: str, policy: GroupPolicy, access: GroupAccess | Everybody | None = None
    ) -> ResourceGroup:
        """Make a group, or give it another policy, and say to whom it is open; None: as it is, a new one to everybody.

        What runs goes on; who may use it no more waits in vain. Raises Forbidden, NotFound for somebody whom there is
        not, and InvalidInput for an unknown time zone or a calendar with a gap or an overlap.
        """
        caller.require(Right.CLUSTER_CHANGE)
        zone_of(policy.timezone)
        windows = zip(policy.calendar, weekly_windows(policy), strict=True)
        check_calendar([(window.name, weekly) for window, weekly in windows])

        async def save(transaction: Transaction) -> None:
            now = self._clock.now()
            found = await groups.lock(transaction, name)
            opened = None if found is None else found.access
            if access is not None:
                opened = None if access == "everybody" else await by_names(transaction.connection, access)
            await groups.save(transaction, name, policy, now, opened)
            row = GroupRow(name, policy, now, opened)
            before = None if found is None else await _values(transaction.connection, found)
            after = await _values(transaction.connection, row)
            target = audit.Target(name, name)
            await audit.record(transaction, caller, "group.set", target, now, before=before, after=after)

        await self._database.transaction(save, "group.save")
        return await self.get(caller, name)

    async def delete(self, caller: Caller, name: str) -> None:
        """Delete a group with its reservations. Raises Forbidden, NotFound, Conflict while it is in use."""
        caller.require(Right.CLUSTER_CHANGE)
        if name == DEFAULT_GROUP:
            raise Conflict(f"The group '{DEFAULT_GROUP}' stays: new nodes join it, and sessions that name no group.")

        async def remove(transaction: Transaction) -> None:
            if await groups.lock(transaction, name) is None:
                raise NotFound(f"There is no resource group '{name[:60]}'. 'madang group ls' shows those there are.")
            connection = transaction.connection
            members = [node.name for node in await nodes.every(connection) if node.resource_group == name]
            if members:
                raise Conflict(
                    f"The group '{name}' still has nodes ({', '.join(members[:5])}). Move them first: "
                    f"madang node set {members[0]} --group {DEFAULT_GROUP}."
                )
            load = (await groups.loads(connection)).get(name)
            if load is not None:
                count = load.pending + load.holding
                raise Conflict(
                    f"Sessions wait or run in the group '{name}' ({count}). Stop them first, or let them end."
                )
            now = self._clock.now()
            await groups.remove(transaction, name, now)
            await audit.record(transaction, caller, "group.delete", audit.Target(name, name), now)

        await self._database.transaction(remove, "group.delete")


async def _access(connection: AsyncConnection, group: GroupRow) -> GroupAccess | Everybody:
    return "everybody" if group.access is None else await names(connection, group.access)


async def _values(connection: AsyncConnection, group: GroupRow) -> dict[str, object]:
    """For the audit."""
    access = await _access(connection, group)
    told = access if access == "everybody" else access.model_dump(mode="json")
    return {**group.policy.model_dump(mode="json"), "access": told}
