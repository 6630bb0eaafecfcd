"""Signing keys of the caller: made, listed, taken back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, json_body, read_json
from madang.schemas.api import Page
from madang.schemas.machines import Key, KeyCreate, NewKey

router = APIRouter(prefix=f"{API}/keys", tags=["keys"])

KeyId = Annotated[str, Path(pattern=r"^mdk_[A-Za-z0-9_-]{16,64}$", description="Its id, not the secret.")]


@router.get("", response_model=Page[Key], responses=problems(403), operation_id="list_keys")
async def list_keys(caller: SignedIn, services: Use) -> Response:
    """List your signing keys, newest first."""
    return Json(Page[Key](items=list(await services.keys.list(caller))))


@router.post(
    "",
    status_code=201,
    response_model=NewKey,
    responses=problems(403, 413),
    openapi_extra=json_body(KeyCreate),
    operation_id="create_key",
)
async def create_key(request: Request, caller: SignedIn, services: Use) -> Response:
    """Make a signing key. Its secret is shown this once."""
    return Json(await services.keys.create(caller, await read_json(request, KeyCreate)), 201)


@router.delete("/{key}", status_code=204, responses=problems(403, 404), operation_id="revoke_key")
async def revoke_key(key: KeyId, caller: SignedIn, services: Use) -> Response:
    """Take a signing key back. What it opened is closed within seconds."""
    await services.keys.revoke(caller, key)
    return Response(status_code=204)
