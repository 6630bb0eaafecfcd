"""Turns everything that can go wrong in a route into a problem; nothing of the inside shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from madang.api.problems import make_problem, problem_of, problem_response
from madang.domain.errors import InvalidInput, MadangError, TooManyAttempts

_MAX_SENTENCES: Final = 20


class InvalidFields(InvalidInput):
    """A request does not fit its schema; `errors` has a sentence for each field."""

    def __init__(self, errors: Sequence[str]) -> None:
        message = errors[0] if len(errors) == 1 else f"{len(errors)} fields are invalid: see `errors`."
        super().__init__(message, errors)


def invalid_fields(error: ValidationError, *place: str) -> InvalidFields:
    """What Pydantic found wrong with a body, or with what is at a place, for people; raise it."""
    found = error.errors(include_url=False, include_input=False)
    return InvalidFields(sentences([{**item, "loc": (*place, *item["loc"])} for item in found]))


def sentences(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each invalid field: `slots.cpu: Input should be a valid integer.`

    The values sent are left out: a log or a screen shot of the answer must not show a secret.
    """
    found = dict.fromkeys(_sentence(error) for error in errors)
    return list(found)[:_MAX_SENTENCES]


def _sentence(error: Mapping[str, Any]) -> str:
    place = [str(part) for part in error["loc"] if not _is_noise(part)]
    message = str(error["msg"]).rstrip(".")
    return f"{'.'.join(place)}: {message}."[:500] if place else f"{message}."[:500]


def _is_noise(part: object) -> bool:
    """Whether a part of a location names where Pydantic looked and not what the client wrote."""
    text = str(part)
    return text in {"body", "query", "path", "header", "int", "str"} or "[" in text


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem."""
    app.add_exception_handler(MadangError, _domain)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)


def problem_for(error: MadangError) -> Response:
    """The response for an expected error."""
    errors = error.errors if isinstance(error, InvalidInput) else ()
    headers = {"Retry-After": str(error.retry_after_seconds)} if isinstance(error, TooManyAttempts) else None
    return problem_response(problem_of(error, errors), headers)


async def _domain(_: Request, error: Exception) -> Response:
    assert isinstance(error, MadangError)  # noqa: S101  registered for this class
    return problem_for(error)


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return problem_for(InvalidFields(sentences(error.errors())))


async def _http(request: Request, error: Exception) -> Response:
    """The router's own answers: no such path, no such method there."""
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 404:
        problem = make_problem(404, "not_found", "Not found", f"There is nothing at {request.url.path[:200]}.")
        return problem_response(problem)
    if error.status_code == 405:
        allowed = ", ".join(_methods_at(request))
        detail = f"{request.method[:20]} is not possible here; possible are: {allowed}."
        problem = make_problem(405, "method_not_allowed", "Method not allowed", detail)
        return problem_response(problem, {"Allow": allowed})
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "_").replace("-", "_")
    return problem_response(make_problem(error.status_code, code, title, str(error.detail)), error.headers)


def _methods_at(request: Request) -> list[str]:
    """Every method that some route knows at the path of the request; a router tells those of one route only."""
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]


async def _gone(_: Request, __: Exception) -> Response:
    """The client left while sending its body: nobody reads this."""
    return Response(status_code=499)
