"""What a session may ask for, as Python programs say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypedDict

from madang.domain.devices import parse_models
from madang.domain.session import Layout, SessionKind
from madang.schemas.agent import NetworkMode
from madang.schemas.api import Session, SessionCreate, Upload


class SessionOptions(TypedDict, total=False):
    """All that `sessions.create` and `sessions.plan` take beside the command; what is left out has its default.

    Times without a time zone are local ones.
    """

    environment: str
    slots: Mapping[str, str | int] | None  # as people write it ({"cpu": "0.5", "mem": "2g"}), or in the base unit
    name: str | None
    kind: SessionKind
    variables: Mapping[str, str] | None
    processes: int
    network: NetworkMode | None
    upload: Upload | str | None  # what `uploads.create` returned, or its id
    resource_group: str
    models: Sequence[str] | str  # of its devices, any of these: ["A100", "H100"] or "A100|H100"
    size: int  # containers, each with `slots`; all start together or none
    layout: Layout
    priority: int
    start_at: datetime | None  # not before
    max_seconds: float | timedelta | None  # of running; then it is stopped and has failed
    deadline: datetime | None  # it fails as soon as it cannot be done by then
    after: Sequence[Session | str]  # those that have to end first
    after_ok: Sequence[Session | str]  # those that have to succeed first
    preemptible: bool | None
    reservation: str | None
    preset: str | None  # of the resource group; `slots` beside it count instead, slot by slot
    project: str | None  # whose session it is; None: the default project, or one's only one


def session_request(command: Sequence[str], options: SessionOptions) -> SessionCreate:
    """The request on the wire. Raises ValueError for what no server would take."""
    fields: dict[str, object] = dict(options)
    for name in ("slots", "variables"):
        if (value := options.get(name)) is not None:
            fields[name] = dict(value)  # type: ignore[call-overload]
        else:
            fields.pop(name, None)
    upload = options.get("upload")
    fields["upload"] = upload.id if isinstance(upload, Upload) else upload
    models = options.get("models", ())
    fields["models"] = list(parse_models(models) if isinstance(models, str) else models)
    for name in ("start_at", "deadline"):
        if isinstance(moment := fields.get(name), datetime):
            fields[name] = moment.astimezone()
    longest = options.get("max_seconds")
    fields["max_seconds"] = longest.total_seconds() if isinstance(longest, timedelta) else longest
    fields["after"] = [_ref(one) for one in options.get("after", ())]
    fields["after_ok"] = [_ref(one) for one in options.get("after_ok", ())]
    return SessionCreate.model_validate({"command": list(command), **fields})


def _ref(session: Session | str) -> str:
    return session.id if isinstance(session, Session) else session
