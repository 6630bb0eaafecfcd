"""Routes that are asked most: FastAPI takes longer to find their parameters than all the rest takes together."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final, get_args, get_type_hints
from urllib.parse import parse_qsl

from fastapi import params
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from madang.api.errors import invalid_fields

_REMEMBERED: Final = 1024  # query strings

Find = Callable[[HTTPConnection], Awaitable[Any]]


class DirectRoute(APIRoute):
    """A GET route whose parameters are parts of the path, one model of the query, and dependencies that take only the
    connection. Its signature is its documentation as with any other route."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        hints = get_type_hints(endpoint, include_extras=True)
        self._find: dict[str, Find] = {
            name: _finder(name, hints[name]) for name in inspect.signature(endpoint).parameters
        }

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            await super().handle(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        found = {name: await find(connection) for name, find in self._find.items()}
        response = await self.endpoint(**found)
        await response(scope, receive, send)


def _finder(name: str, hint: Any) -> Find:
    kind, *said = get_args(hint)
    how = next(one for one in said if isinstance(one, params.Depends | params.Query | params.Path))
    if isinstance(how, params.Depends):
        dependency: Find = how.dependency  # type: ignore[assignment]
        return dependency
    if isinstance(how, params.Path):
        return _of_path(name, TypeAdapter(hint))
    return _of_query(kind)


def _of_path(name: str, adapter: TypeAdapter[Any]) -> Find:
    async def find(connection: HTTPConnection) -> Any:
        try:
            return adapter.validate_python(connection.path_params[name])
        except ValidationError as error:
            raise invalid_fields(error, name) from None

    return find


def _of_query(model: type[BaseModel]) -> Find:
    lists = {
        name for name, field in model.model_fields.items() if getattr(field.annotation, "__origin__", None) is list
    }

    @lru_cache(_REMEMBERED)
    def read(query: bytes) -> BaseModel:
        values: dict[str, Any] = {}
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if name in lists:
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        return model.model_validate_strings(values)

    async def find(connection: HTTPConnection) -> BaseModel:
        try:
            return read(connection.scope["query_string"])
        except ValidationError as error:
            raise invalid_fields(error) from None

    return find
