"""Access tokens of the caller: made, listed, taken back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, json_body, read_json
from madang.schemas.api import NewToken, Page, Token, TokenCreate

router = APIRouter(prefix=f"{API}/tokens", tags=["tokens"])

TokenId = Annotated[str, Path(pattern=r"^[0-9a-z]{26}$", description="Its id, not the secret.")]


@router.get("", response_model=Page[Token], responses=problems(403), operation_id="list_tokens")
async def list_tokens(caller: SignedIn, services: Use) -> Response:
    """List your access tokens, newest first."""
    return Json(Page[Token](items=list(await services.tokens.list(caller))))


@router.post(
    "",
    status_code=201,
    response_model=NewToken,
    responses=problems(403, 413),
    openapi_extra=json_body(TokenCreate),
    operation_id="create_token",
)
async def create_token(request: Request, caller: SignedIn, services: Use) -> Response:
    """Make an access token. It is shown this once and stored only as a hash."""
    return Json(await services.tokens.create(caller, await read_json(request, TokenCreate)), 201)


@router.delete("/{token}", status_code=204, responses=problems(403, 404), operation_id="revoke_token")
async def revoke_token(token: TokenId, caller: SignedIn, services: Use) -> Response:
    """Take an access token back. What it opened is closed within seconds."""
    await services.tokens.revoke(caller, token)
    return Response(status_code=204)
