"""Output and changes of state as they happen, as server-sent events that resume where they broke off."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import Responses, problems
from madang.api.shutdown import ends_of
from madang.api.sse import MEDIA_TYPE, EventStream, format_events, format_logs
from madang.api.wire import API, SessionRef
from madang.domain.rights import Right

router = APIRouter(prefix=API, tags=["streams"])

_EVENT_ID: Final = r"^[0-9]{1,19}-[0-9]{1,19}$"
_CURSOR: Final = r"^-?[0-9]{1,18}$"


def _stream(name: str, schema: str, description: str) -> Responses:
    """`schema` is that of one event, as tools read it; what is in its data is a model of its own."""
    event = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "event": {"type": "string", "enum": [name, "end", "error"]},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {
                    "anyOf": [
                        {"$ref": f"#/components/schemas/{schema}"},
                        {"$ref": "#/components/schemas/Problem", "description": "of an `error`"},
                        {"type": "object", "maxProperties": 0, "description": "of the `end`"},
                    ]
                },
            },
        },
        "required": ["event", "data"],
    }
    return {200: {"description": description, "content": {MEDIA_TYPE: {"schema": event}}}}


LastCursor = Annotated[
    str | None, Header(alias="Last-Event-ID", pattern=_CURSOR, description="Resume behind this event.")
]
LastEvent = Annotated[
    str | None, Header(alias="Last-Event-ID", pattern=_EVENT_ID, description="Resume behind this event.")
]
After = Annotated[str | None, Query(pattern=_EVENT_ID, description="Resume behind this event.")]
Follow = Annotated[bool, Query(description="Wait for more; false: end after what is there now.")]


@router.get(
    "/sessions/{session}/logs",
    response_class=Response,
    responses=problems(403, 404)
    | _stream("log", "LogEvent", "Events `log` (data: LogEvent, id: a cursor), then one `end` when there is no more."),
    operation_id="get_session_logs",
)
async def get_session_logs(
    *,
    request: Request,
    session: SessionRef,
    caller: SignedIn,
    services: Use,
    cursor: Annotated[
        int, Query(ge=-(2**53), le=2**53, description="Start here; negative: so many bytes before the end.")
    ] = 0,
    follow: Follow = True,
    last_event_id: LastCursor = None,
) -> Response:
    """Read a session's output, also while it is being written and after it has ended."""
    session_id = await services.sessions.allow(caller, session, Right.SESSION_READ)
    start = int(last_event_id) if last_event_id is not None else cursor
    chunks = services.streams.logs(caller, session_id, cursor=start, follow=follow)
    return EventStream(format_logs(chunks), ends_of(request, caller, services, (session_id, Right.SESSION_READ)))


@router.get(
    "/sessions/{session}/events",
    response_class=Response,
    responses=problems(403, 404)
    | _stream("event", "Event", "Events `event` (data: Event), then one `end` after the session's last."),
    operation_id="get_session_events",
)
async def get_session_events(
    *,
    request: Request,
    session: SessionRef,
    caller: SignedIn,
    services: Use,
    after: After = None,
    follow: Follow = True,
    last_event_id: LastEvent = None,
) -> Response:
    """Follow what happens to one session, from its beginning."""
    session_id = await services.sessions.allow(caller, session, Right.SESSION_SEE)
    events = services.streams.events(caller, session=session_id, after=last_event_id or after, follow=follow)
    return EventStream(format_events(events), ends_of(request, caller, services))


@router.get(
    "/events",
    response_class=Response,
    responses=problems(403) | _stream("event", "Event", "Events `event` (data: Event)."),
    operation_id="get_events",
)
async def get_events(
    *,
    request: Request,
    caller: SignedIn,
    services: Use,
    after: After = None,
    follow: Follow = True,
    last_event_id: LastEvent = None,
) -> Response:
    """Follow everything that happens to what the caller may see."""
    caller.require_scope(Right.SESSION_SEE)  # before the stream begins
    events = services.streams.events(caller, after=last_event_id or after, follow=follow)
    return EventStream(format_events(events), ends_of(request, caller, services))
