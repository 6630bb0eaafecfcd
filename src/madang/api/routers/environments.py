"""Environments: what a container can run, and whether it is ready."""

from __future__ import annotations

from fastapi import APIRouter, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, NameRef
from madang.schemas.api import EnvironmentStatus, Page

router = APIRouter(prefix=f"{API}/environments", tags=["environments"])


@router.get("", response_model=Page[EnvironmentStatus], responses=problems(403), operation_id="list_environments")
async def list_environments(caller: SignedIn, services: Use) -> Response:
    """List the environments, built or not."""
    return Json(Page[EnvironmentStatus](items=list(await services.environments.list(caller))))


@router.get("/{name}", response_model=EnvironmentStatus, responses=problems(403, 404), operation_id="get_environment")
async def get_environment(name: NameRef, caller: SignedIn, services: Use) -> Response:
    """Look up one environment; while it is being built, `progress` and `message` tell how far."""
    return Json(await services.environments.get(caller, name))


@router.post(
    "/{name}/build",
    status_code=202,
    response_model=EnvironmentStatus,
    responses=problems(403, 404, 409, 507),
    operation_id="build_environment",
)
async def build_environment(name: NameRef, caller: SignedIn, services: Use) -> Response:
    """Make an environment ready, in the background; one that is ready stays as it is."""
    return Json(await services.environments.build(caller, name), 202)
