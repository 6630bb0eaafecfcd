"""Use cases of presets: slot bundles with a name, so that nobody has to know how large a node is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, groups, nodes, presets, site
from madang.db.rows import NodeRow
from madang.db.site_rows import PresetRow
from madang.domain.devices import claim_of, counted
from madang.domain.errors import ImpossibleRequest, InvalidSlots, NotFound
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.presets import first_presets
from madang.domain.rights import Right
from madang.domain.slots import Slots
from madang.schemas.api import DEFAULT_GROUP
from madang.schemas.site import Preset, PresetPut
from madang.services.possible import Wanted, fits_on, require_possible

_MADE: Final = "first_presets"


class PresetService:
    """Who may see a resource group sees its presets; administrators change them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller, group: str) -> Sequence[Preset]:
        """By name. Raises NotFound for a group that is not open to the caller."""
        caller.require(Right.CLUSTER_SEE)

        async def read(connection: AsyncConnection) -> list[PresetRow]:
            if group not in {one.name for one in await groups.seen_by(connection, caller)}:
                raise NotFound(f"There is no resource group '{group[:60]}'. 'madang group ls' shows those there are.")
            return await presets.every(connection, group)

        return [_view(row) for row in await self._database.read(read)]

    async def put(self, caller: Caller, group: str, name: str, wanted: PresetPut) -> Preset:
        """Make a preset, or change it. Raises Forbidden, NotFound, InvalidSlots, and ImpossibleRequest for what no node
        of the group could ever hold."""
        caller.require(Right.CLUSTER_CHANGE)
        slots = Slots.parse(dict(wanted.slots))
        if not slots:
            raise InvalidSlots("A preset of nothing helps nobody; say how much, e.g. cpu=2 mem=4g.")
        row = PresetRow(group, name, wanted.title, dict(slots), self._clock.now())
        request = Wanted(counted(slots), claim_of(slots, ()))

        async def save(transaction: Transaction) -> PresetRow:
            connection = transaction.connection
            await groups.hold(transaction, group)
            members = [node for node in await nodes.every(connection) if node.resource_group == group]
            if not members:
                raise ImpossibleRequest(
                    f"Resource group '{group}' has no nodes yet, so nothing fits. Move one there first: "
                    f"madang node set NODE --group {group}."
                )
            require_possible(request, members, group)
            before = next((one for one in await presets.every(connection, group) if one.name == name), None)
            await presets.save(transaction, row)
            then = None if before is None else _values(before)
            target = _target(row)
            await audit.record(
                transaction, caller, "preset.set", target, row.created_at, before=then, after=_values(row)
            )
            return row if before is None else before

        kept = await self._database.transaction(save, "preset.save")
        return _view(PresetRow(group, name, row.title, row.slots, kept.created_at))

    async def delete(self, caller: Caller, group: str, name: str) -> None:
        """Sessions that were started with it go on. Raises Forbidden, NotFound naming those there are."""
        caller.require(Right.CLUSTER_CHANGE)

        async def remove(transaction: Transaction) -> None:
            now = self._clock.now()
            await groups.hold(transaction, group)
            known = {one.name: one for one in await presets.every(transaction.connection, group)}
            if name not in known:
                names = ", ".join(known) or "none yet"
                raise NotFound(f"Group '{group}' has no preset '{name[:60]}'. Known are: {names}.")
            row = known[name]
            await presets.remove(transaction, group, name, now)
            await audit.record(transaction, caller, "preset.delete", _target(row), now, before=_values(row))

        await self._database.transaction(remove, "preset.delete")

    async def begin(self) -> None:
        """Give the default group of a fresh installation presets after the size of its first nodes, once: what an
        administrator deletes stays away."""

        async def save(transaction: Transaction) -> None:
            connection = transaction.connection
            if await site.get(connection, _MADE) is not None:
                return
            now = self._clock.now()
            members = [node for node in await nodes.every(connection) if node.resource_group == DEFAULT_GROUP]
            if not members:
                return
            await site.put(transaction, _MADE, value=True, at=now)
            if await presets.every(connection, DEFAULT_GROUP):
                return
            largest = max(members, key=lambda node: (node.slots.get("cpu", 0), node.name))
            for name, slots in _first(largest).items():
                await presets.save(transaction, PresetRow(DEFAULT_GROUP, name, "", slots, now))

        await self._database.transaction(save, "preset.begin")


def _first(node: NodeRow) -> dict[str, dict[str, int]]:
    devices = Counter(device.kind for device in node.report.devices)
    found = first_presets(node.slots.get("cpu", 0), node.slots.get("mem", 0), devices)
    asked = {name: Slots(slots) for name, slots in found.items()}
    return {
        name: dict(slots) for name, slots in asked.items() if fits_on(node, Wanted(counted(slots), claim_of(slots, ())))
    }


def _target(row: PresetRow) -> audit.Target:
    return audit.Target(f"{row.resource_group}/{row.name}", row.name)


def _values(row: PresetRow) -> dict[str, object]:
    return {"title": row.title, "slots": dict(row.slots)}


def _view(row: PresetRow) -> Preset:
    return Preset(
        name=row.name,
        resource_group=row.resource_group,
        title=row.title,
        slots=dict(row.slots),
        created_at=row.created_at,
    )
