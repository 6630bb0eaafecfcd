"""Files in and out of a session's work directory, streamed both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import (
    API,
    Directory,
    FilePath,
    Json,
    SessionRef,
    binary_body,
    binary_response,
    body_of,
)
from madang.schemas.api import FileEntry, Page

router = APIRouter(prefix=f"{API}/sessions/{{session}}", tags=["files"])

_BYTES: Final = "application/octet-stream"
_TAR: Final = "application/x-tar"
_GZIP: Final = "application/gzip"


def _attachment(chunks: AsyncIterator[bytes], media_type: str, name: str) -> Response:
    """Bytes that somebody's program made: a browser saves them and never shows them as a page of this origin."""
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return StreamingResponse(chunks, media_type=media_type, headers={"Content-Disposition": disposition})


@router.get("/files", response_model=Page[FileEntry], responses=problems(403, 404, 409), operation_id="list_files")
async def list_files(session: SessionRef, caller: SignedIn, services: Use, path: Directory = "") -> Response:
    """List the entries of a directory."""
    entries = await services.sessions.list_files(caller, session, path)
    return Json(Page[FileEntry](items=list(entries)))


@router.get(
    "/files/{path:path}",
    response_class=Response,
    responses=problems(403, 404, 409) | binary_response(_BYTES, "The file's bytes."),
    operation_id="read_file",
)
async def read_file(session: SessionRef, path: FilePath, caller: SignedIn, services: Use) -> Response:
    """Download a file."""
    chunks = await services.sessions.read_file(caller, session, path)
    return _attachment(chunks, _BYTES, path.rstrip("/").rpartition("/")[2])


@router.put(
    "/files/{path:path}",
    status_code=204,
    responses=problems(403, 404, 409, 413, 507),
    openapi_extra=binary_body(_BYTES),
    operation_id="write_file",
)
async def write_file(
    session: SessionRef, path: FilePath, request: Request, caller: SignedIn, services: Use
) -> Response:
    """Upload a file in one piece: it is there as a whole, or as it was before."""
    await services.sessions.write_file(caller, session, path, body_of(request))
    return Response(status_code=204)


@router.delete("/files/{path:path}", status_code=204, responses=problems(403, 404, 409), operation_id="delete_file")
async def delete_file(session: SessionRef, path: FilePath, caller: SignedIn, services: Use) -> Response:
    """Delete a file, or a directory with all beneath it."""
    await services.sessions.delete_file(caller, session, path)
    return Response(status_code=204)


@router.get(
    "/archive",
    response_class=Response,
    responses=problems(403, 404, 409) | binary_response(_TAR, "A tar archive."),
    operation_id="read_archive",
)
async def read_archive(session: SessionRef, caller: SignedIn, services: Use, path: Directory = "") -> Response:
    """Download a file or directory as a tar archive; symbolic links stay links."""
    chunks = await services.sessions.read_archive(caller, session, path)
    name = path.strip("/").rpartition("/")[2] or "work"
    return _attachment(chunks, _TAR, f"{name}.tar")


@router.put(
    "/archive",
    status_code=204,
    responses=problems(403, 404, 409, 413, 507),
    openapi_extra=binary_body(_TAR, _GZIP),
    operation_id="write_archive",
)
async def write_archive(
    session: SessionRef, request: Request, caller: SignedIn, services: Use, path: Directory = ""
) -> Response:
    """Unpack a tar archive, plain or gzip, beneath a directory."""
    await services.sessions.put_archive(caller, session, body_of(request), path)
    return Response(status_code=204)
