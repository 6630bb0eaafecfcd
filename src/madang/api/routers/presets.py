"""Presets: named slot bundles of a resource group."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, NameRef, json_body, read_json
from madang.schemas.api import Page
from madang.schemas.site import Preset, PresetPut

router = APIRouter(prefix=f"{API}/resource-groups/{{group}}/presets", tags=["groups"])


@router.get("", response_model=Page[Preset], responses=problems(403, 404), operation_id="list_presets")
async def list_presets(group: NameRef, caller: SignedIn, services: Use) -> Response:
    """List the presets of a resource group."""
    return Json(Page[Preset](items=list(await services.presets.list(caller, group))))


@router.put(
    "/{preset}",
    response_model=Preset,
    responses=problems(403, 404, 413),
    openapi_extra=json_body(PresetPut),
    operation_id="put_preset",
)
async def put_preset(group: NameRef, preset: NameRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Make a preset, or change it; a node of the group has to be able to hold it. For administrators."""
    return Json(await services.presets.put(caller, group, preset, await read_json(request, PresetPut)))


@router.delete("/{preset}", status_code=204, responses=problems(403, 404), operation_id="delete_preset")
async def delete_preset(group: NameRef, preset: NameRef, caller: SignedIn, services: Use) -> Response:
    """Delete a preset; sessions that were started with it go on. For administrators."""
    await services.presets.delete(caller, group, preset)
    return Response(status_code=204)
