"""Nodes: what they offer, what of it is taken, and which resource group they are in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, json_body, read_json
from madang.schemas.api import NodeState, NodeUpdate, Page

router = APIRouter(prefix=f"{API}/nodes", tags=["nodes"])

NodeRef = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")]


@router.get("", response_model=Page[NodeState], responses=problems(403), operation_id="list_nodes")
async def list_nodes(caller: SignedIn, services: Use) -> Response:
    """List the nodes."""
    return Json(Page[NodeState](items=list(await services.nodes.list(caller))))


@router.get("/{node}", response_model=NodeState, responses=problems(403, 404), operation_id="get_node")
async def get_node(node: NodeRef, caller: SignedIn, services: Use) -> Response:
    """Look up one node."""
    return Json(await services.nodes.get(caller, node))


@router.patch(
    "/{node}",
    response_model=NodeState,
    responses=problems(403, 404, 413),
    openapi_extra=json_body(NodeUpdate),
    operation_id="update_node",
)
async def update_node(node: NodeRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Put a node into another resource group; what runs on it goes on. For administrators."""
    change = await read_json(request, NodeUpdate)
    return Json(await services.nodes.update(caller, node, change))
