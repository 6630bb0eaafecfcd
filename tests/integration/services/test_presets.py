"""Presets are slots with a name: what no node could hold is refused, and sessions get what they say."""

from __future__ import annotations

import pytest

from madang.domain.errors import Forbidden, ImpossibleRequest, InvalidInput, InvalidSlots, NotFound
from madang.domain.people import Caller
from madang.schemas.api import GroupPolicy, SessionCreate
from madang.schemas.site import Preset, PresetPut
from tests.world import World

GIB = 1 << 30


async def _put(world: World, caller: Caller, name: str, slots: dict[str, str | int], group: str = "default") -> Preset:
    return await world.services.presets.put(caller, group, name, PresetPut(slots=slots))


async def _asked(world: World, caller: Caller, **fields: object) -> dict[str, int]:
    request = SessionCreate.model_validate({"command": ["x"], **fields})
    return (await world.services.sessions.create(caller, request)).slots


async def test_a_session_gets_the_slots_of_its_preset_and_what_is_said_beside_it(idle_world: World) -> None:
    admin, ann = await idle_world.caller(), await idle_world.caller("ann", "user")
    await _put(idle_world, admin, "medium", {"cpu": "2", "mem": "4g"})
    assert await _asked(idle_world, ann, preset="medium") == {"cpu": 2000, "mem": 4 * GIB}
    assert await _asked(idle_world, ann, preset="medium", slots={"mem": "1g"}) == {"cpu": 2000, "mem": GIB}
    await _put(idle_world, admin, "thin", {"cpu": "0.5"})
    assert await _asked(idle_world, ann, preset="thin") == {"cpu": 500, "mem": GIB}
    assert await _asked(idle_world, ann) == {"cpu": 1000, "mem": GIB}
    with pytest.raises(InvalidInput, match=r"has no preset 'huge'\. Known are: medium, thin"):
        await _asked(idle_world, ann, preset="huge")


async def test_a_preset_that_fits_no_node_is_refused(idle_world: World) -> None:
    admin = await idle_world.caller()
    with pytest.raises(ImpossibleRequest, match="the nearest, node1, has cpu 4"):
        await _put(idle_world, admin, "huge", {"cpu": "400"})
    with pytest.raises(ImpossibleRequest, match="has any GPU"):
        await _put(idle_world, admin, "gpu", {"cuda.device": 1})
    with pytest.raises(InvalidSlots, match="helps nobody"):
        await _put(idle_world, admin, "none", {"cpu": 0})
    await idle_world.services.groups.put(admin, "empty", GroupPolicy())
    with pytest.raises(ImpossibleRequest, match="has no nodes yet"):
        await _put(idle_world, admin, "small", {"cpu": 1000}, "empty")
    with pytest.raises(NotFound):
        await _put(idle_world, admin, "small", {"cpu": 1000}, "nowhere")


async def test_only_administrators_change_presets(idle_world: World) -> None:
    presets, admin, ann = idle_world.services.presets, await idle_world.caller(), await idle_world.caller("ann", "user")
    first = await _put(idle_world, admin, "small", {"cpu": "1"})
    changed = await _put(idle_world, admin, "small", {"cpu": "2"})
    assert (changed.slots, changed.created_at) == ({"cpu": 2000}, first.created_at)
    assert [one.name for one in await presets.list(ann, "default")] == ["small"]
    with pytest.raises(Forbidden):
        await _put(idle_world, ann, "mine", {"cpu": "1"})
    with pytest.raises(Forbidden):
        await presets.delete(ann, "default", "small")
    await presets.delete(admin, "default", "small")
    with pytest.raises(NotFound, match="Known are: none yet"):
        await presets.delete(admin, "default", "small")
    actions = [one.action for one in (await idle_world.services.audit.list(admin)).items]
    assert actions[:3] == ["preset.delete", "preset.set", "preset.set"]


async def test_a_fresh_installation_has_some_once(idle_world: World) -> None:
    presets, admin = idle_world.services.presets, await idle_world.caller()
    await presets.begin()
    found = {one.name: one.slots for one in await presets.list(admin, "default")}
    assert found == {
        "small": {"cpu": 1000, "mem": GIB},
        "medium": {"cpu": 1000, "mem": 2 * GIB},
        "large": {"cpu": 2000, "mem": 4 * GIB},
    }
    for name in found:
        await presets.delete(admin, "default", name)
    await presets.begin()
    assert await presets.list(admin, "default") == []
