"""What routes share: the JSON response, parameters with their patterns, and bodies that are read as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final, TypeVar

from fastapi import Path, Query, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from madang.api.errors import invalid_fields
from madang.api.problems import Responses
from madang.domain.errors import TooLarge
from madang.domain.names import NAME_PATTERN, USER_PATTERN

M = TypeVar("M", bound=BaseModel)

API: Final = "/api/v1"
"""Where all routes but the probes are."""

JSON: Final = "application/json"

JSON_LIMIT: Final = 8 << 20
"""Bytes of a JSON body; more is refused before it fills the memory."""

OPEN_LIMIT: Final = 64 << 10
"""The same where anybody may send one."""

SessionRef = Annotated[str, Path(pattern=NAME_PATTERN, description="The id of a session, or its name.")]
NameRef = Annotated[str, Path(pattern=NAME_PATTERN)]
UserRef = Annotated[str, Path(pattern=USER_PATTERN, description="The name of an account.")]
FilePath = Annotated[
    str,
    Path(min_length=1, max_length=4096, description="Path of a file, relative to the session's work directory."),
]
Directory = Annotated[
    str,
    Query(
        alias="path", max_length=4096, description="Path relative to the session's work directory; empty: all of it."
    ),
]


class Json(Response):
    """A model as JSON, straight from Pydantic's own serialiser."""

    media_type = JSON

    def __init__(self, model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(model.__pydantic_serializer__.to_json(model), status, headers)


async def read_json(request: Request, model: type[M], *, optional: bool = False, limit: int = JSON_LIMIT) -> M:
    """The body of `request` as a `model`; with `optional`, none at all is a model of defaults.

    Raises TooLarge above `limit` bytes and InvalidFields for anything that does not fit. Routes call this after they
    know the caller, or with OPEN_LIMIT, so that a stranger cannot make the server read much.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"The JSON body is larger than {limit >> 10} KiB.")
    try:
        return model.model_validate_json(bytes(body) if body or not optional else b"{}")
    except ValidationError as error:
        raise invalid_fields(error) from None


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body of `request` as it arrives. Raises ClientDisconnect when it breaks off."""
    async for chunk in request.stream():
        if chunk:
            yield chunk


def json_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """The `openapi_extra` of a route that calls `read_json`."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def binary_body(*media_types: str) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes bytes."""
    schema = {"type": "string", "format": "binary"}
    return {"requestBody": {"required": True, "content": {name: {"schema": schema} for name in media_types}}}


def binary_response(media_type: str, description: str) -> Responses:
    """The `responses` entry of a route that sends bytes."""
    schema = {"type": "string", "format": "binary"}
    return {200: {"description": description, "content": {media_type: {"schema": schema}}}}
