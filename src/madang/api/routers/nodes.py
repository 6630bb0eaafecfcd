"""Nodes: what they offer, and what of it is taken."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json
from madang.schemas.api import NodeState, Page

router = APIRouter(prefix=f"{API}/nodes", tags=["nodes"])

NodeRef = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")]


@router.get("", response_model=Page[NodeState], responses=problems(), operation_id="list_nodes")
async def list_nodes(caller: SignedIn, services: Use) -> Response:
    """List the nodes."""
    return Json(Page[NodeState](items=list(await services.nodes.list(caller))))


@router.get("/{node}", response_model=NodeState, responses=problems(404), operation_id="get_node")
async def get_node(node: NodeRef, caller: SignedIn, services: Use) -> Response:
    """Look up one node."""
    return Json(await services.nodes.get(caller, node))
