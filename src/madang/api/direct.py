"""Routes that are asked most: FastAPI takes longer to find their parameters than all the rest takes together."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, Final, get_args, get_type_hints
from urllib.parse import parse_qsl

from fastapi import params
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from madang.api.errors import invalid_fields, problem_for
from madang.domain.errors import MadangError

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

    async def answer(self, connection: HTTPConnection) -> Response:
        """What a request that matches is answered."""
        try:
            found = {name: await find(connection) for name, find in self._find.items()}
            response: Response = await self.endpoint(**found)
        except MadangError as error:
            return problem_for(error)
        return response


class DirectRoutes:
    """The layer that serves them. What lies beneath, down to the router, would take as long as they do."""

    def __init__(self, app: ASGIApp, routes: Sequence[DirectRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            for route in self._routes:
                match = route.path_regex.match(scope["path"])
                if match is not None:
                    scope["path_params"] = match.groupdict()
                    response = await route.answer(HTTPConnection(scope))
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


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
        return model.model_validate(values)

    async def find(connection: HTTPConnection) -> BaseModel:
        try:
            return read(connection.scope["query_string"])
        except ValidationError as error:
            raise invalid_fields(error) from None

    return find
