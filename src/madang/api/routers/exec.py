"""A further process in a running session, over a WebSocket; the frames are described in madang.schemas.exec."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from madang.api.auth import SignedIn, Use
from madang.api.execution import Execution
from madang.api.shutdown import closing_of
from madang.api.wire import API, SessionRef

router = APIRouter(prefix=f"{API}/sessions/{{session}}", tags=["sessions"])


@router.websocket("/exec")
async def exec_in_session(websocket: WebSocket, session: SessionRef, caller: SignedIn, services: Use) -> None:
    """Refused with a problem before it opens when the caller is unknown or the session is."""
    found = await services.sessions.get(caller, session)
    await websocket.accept()
    await Execution(websocket, closing_of(websocket)).run(lambda spec: services.sessions.exec(caller, found.id, spec))
