"""The server itself: who am I to it, what is it, is it well, what does it count."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from madang import __version__
from madang.api.auth import SignedIn, Use
from madang.api.cookies import cookie_of, csrf_of
from madang.api.problems import Responses, open_problems, problems
from madang.api.wire import API, Json
from madang.schemas.api import Health, Me, MyProject, ServerInfo

router = APIRouter(prefix=API, tags=["server"])
probes = APIRouter(tags=["server"])

_UNREADY: Final[Responses] = {503: {"model": Health, "description": "Not ready; `components` tells what is missing."}}
_METRICS: Final[Responses] = {200: {"description": "Prometheus text format.", "content": {"text/plain": {}}}}


@router.get("/me", response_model=Me, responses=problems(), operation_id="get_me")
async def get_me(request: Request, caller: SignedIn) -> Response:
    """Whose token or cookie this request carries."""
    secret = cookie_of(request)
    mine = sorted(caller.memberships.values(), key=lambda one: one.path)
    return Json(
        Me(
            id=caller.user_id,
            name=caller.name,
            role=caller.role,
            projects=[MyProject(project=one.path, role=one.role.value) for one in mine],
            scopes=None if caller.scopes is None else sorted(caller.scopes),
            csrf=None if secret is None else csrf_of(secret),
        )
    )


@router.get("/server", response_model=ServerInfo, responses=problems(), operation_id="get_server")
async def get_server(caller: SignedIn) -> Response:
    """What server this is."""
    return Json(ServerInfo(version=__version__))


@probes.get("/healthz", response_model=Health, responses=open_problems(), operation_id="get_health")
async def get_health(services: Use) -> Response:
    """Whether the server answers at all. Needs no token."""
    return Json(await services.health.live())


@probes.get("/readyz", response_model=Health, responses=open_problems() | _UNREADY, operation_id="get_readiness")
async def get_readiness(services: Use) -> Response:
    """Whether the server can take work: its database, node and loops. Needs no token."""
    health = await services.health.ready()
    return Json(health, 200 if health.status == "ok" else 503)


@probes.get("/metrics", response_class=Response, responses=problems(403) | _METRICS, operation_id="get_metrics")
async def get_metrics(caller: SignedIn, services: Use) -> Response:
    """Counters and gauges for Prometheus."""
    return Response(await services.metrics.render(caller), media_type=CONTENT_TYPE_LATEST)
