"""A further process in a running session, over a WebSocket; the frames are described in madang.schemas.exec."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from madang.api.auth import SignedIn, Use
from madang.api.execution import Execution
from madang.api.shutdown import ends_of
from madang.api.wire import API, SessionRef
from madang.domain.rights import Right

router = APIRouter(prefix=f"{API}/sessions/{{session}}", tags=["sessions"])


@router.websocket("/exec")
async def exec_in_session(websocket: WebSocket, session: SessionRef, caller: SignedIn, services: Use) -> None:
    """Refused with a problem before it opens when the caller is unknown or the session is."""
    session_id = await services.sessions.allow(caller, session, Right.SESSION_ENTER)
    await websocket.accept()
    ends = ends_of(websocket, caller, services, (session_id, Right.SESSION_ENTER))
    await Execution(websocket, ends).run(lambda spec: services.sessions.exec(caller, session_id, spec))
