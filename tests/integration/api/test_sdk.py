"""The clients: which server they find, what they raise, what they send again, files both ways."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from madang.domain.errors import (
    Conflict,
    IdempotencyMismatch,
    InvalidInput,
    NotFound,
    TooLarge,
    Unauthorized,
    UnsafePath,
)
from madang.domain.session import SessionKind, SessionState
from madang.sdk import ApiError, AsyncClient, Client, NoServer
from tests.fake_platform import FakePlatform


@pytest.fixture
def blocking(platform: FakePlatform) -> Iterator[Client]:
    with Client(platform.url, platform.token) as client:
        yield client


def test_it_finds_the_server_of_this_machine(
    platform: FakePlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MADANG_URL", raising=False)
    monkeypatch.delenv("MADANG_TOKEN", raising=False)
    monkeypatch.setenv("MADANG_DATA_DIR", str(tmp_path))
    with pytest.raises(NoServer, match="madang up"):
        Client()
    file = tmp_path / "connection.json"
    file.write_text("{")
    with pytest.raises(NoServer, match="cannot be read"):
        Client()
    file.write_text(json.dumps({"url": platform.url, "token": platform.token}))
    with Client() as client:
        assert client.me().name == "alice"
    monkeypatch.setenv("MADANG_URL", platform.url)
    with pytest.raises(NoServer, match="MADANG_TOKEN"):
        Client()
    monkeypatch.setenv("MADANG_TOKEN", "wrong")
    with Client() as client, pytest.raises(Unauthorized, match="unknown"):
        client.me()
    with pytest.raises(NoServer, match="http://"):
        Client("localhost:7420", "x")
    with pytest.raises(NoServer, match="characters"):
        Client(platform.url, "a b\n")


def test_a_server_that_does_not_run_is_told_at_once() -> None:
    with Client("http://127.0.0.1:1", "token") as client, pytest.raises(NoServer, match="madang up"):
        client.me()


def test_something_else_at_the_address_is_told(platform: FakePlatform) -> None:
    with Client(f"{platform.url}/elsewhere", platform.token) as client, pytest.raises(NotFound):
        client.me()


def test_sessions_from_begin_to_end(blocking: Client) -> None:
    session = blocking.sessions.create(
        ["python", "-c", "1"], name="mine", slots={"cpu": "0.5", "mem": 1 << 20}, variables={"A": "b"}
    )
    assert (session.name, session.slots, session.variables) == ("mine", {"cpu": 500, "mem": 1 << 20}, {"A": "b"})
    assert blocking.sessions.get("mine") == session
    usage = blocking.sessions.usage("mine")
    assert usage is not None
    assert usage.processes == 1
    with pytest.raises(Conflict, match="Stop the session"):
        blocking.sessions.delete("mine")
    assert blocking.sessions.stop("mine", grace_seconds=0).state is SessionState.STOPPED
    assert blocking.sessions.usage("mine") is None
    blocking.sessions.delete("mine")
    with pytest.raises(NotFound, match="mine"):
        blocking.sessions.get("mine")


def test_lists_go_over_all_pages(blocking: Client) -> None:
    made = [blocking.sessions.create(["x"]).id for _ in range(5)]
    blocking.sessions.create(kind=SessionKind.INTERACTIVE)
    batch = blocking.sessions.list(kind=SessionKind.BATCH, states=[SessionState.RUNNING], page_size=2)
    assert [session.id for session in batch] == made[::-1]
    assert [session.id for session in blocking.sessions.list(name="nobody")] == []


def test_the_same_key_gives_the_same_session(blocking: Client) -> None:
    first = blocking.sessions.create(["x"], idempotency_key="k")
    assert blocking.sessions.create(["x"], idempotency_key="k").id == first.id
    with pytest.raises(IdempotencyMismatch):
        blocking.sessions.create(["y"], idempotency_key="k")


async def test_a_creation_whose_answer_is_lost_is_not_done_twice(
    platform: FakePlatform, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.me()
    send, lost = httpx.AsyncHTTPTransport.handle_async_request, 0

    async def lose_first(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        nonlocal lost
        response = await send(transport, request)
        if request.method == "POST" and not lost:
            lost += 1
            await response.aread()
            raise httpx.ReadError("the cable was pulled", request=request)
        return response

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", lose_first)
    session = await client.sessions.create(["x"])
    assert lost == 1
    assert list(platform.sessions.all) == [session.id]


def test_files_both_ways(blocking: Client, tmp_path: Path) -> None:
    ref = blocking.sessions.create(["x"]).id
    blocking.files.write(ref, "a b/한글?#%.txt", b"one")
    assert blocking.files.read(ref, "./a b//한글?#%.txt") == b"one"
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 4096)
    blocking.files.write(ref, "big", big)
    blocking.files.write(ref, "made", (part for part in [b"x", b"y"]))
    assert [(entry.path, entry.size) for entry in blocking.files.list(ref)] == [
        ("a b/한글?#%.txt", 3),
        ("big", 1 << 20),
        ("made", 2),
    ]
    seen: list[int] = []
    blocking.files.download(ref, "big", tmp_path / "back", lambda done, _: seen.append(done))
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    assert seen[-1] == 1 << 20
    with blocking.files.open(ref, "big") as chunks:
        assert b"".join(chunks) == big.read_bytes()
    blocking.files.delete(ref, "made")
    with pytest.raises(NotFound):
        blocking.files.read(ref, "made")
    for path in ("../x", "/etc/passwd", "a/../../b"):
        with pytest.raises(UnsafePath):
            blocking.files.read(ref, path)
    with pytest.raises(InvalidInput):
        blocking.files.write(ref, ".", b"")


def test_a_download_that_breaks_off_leaves_what_was_there(
    platform: FakePlatform, blocking: Client, tmp_path: Path
) -> None:
    ref = blocking.sessions.create(["x"]).id
    platform.sessions.files["broken"] = b"x" * 200_000
    target = tmp_path / "target"
    target.write_text("as before")
    with pytest.raises(NoServer):
        blocking.files.download(ref, "broken", target)
    assert target.read_text() == "as before"
    assert list(tmp_path.iterdir()) == [target]


def test_directories_both_ways(platform: FakePlatform, blocking: Client, tmp_path: Path) -> None:
    ref = blocking.sessions.create(["x"]).id
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "data").write_bytes(b"d" * 100_000)
    (source / "skip.log").write_text("no")
    (source / ".gitignore").write_text("*.log\n")
    seen: list[tuple[int, int | None]] = []
    blocking.files.upload_directory(ref, source, "in", progress=lambda done, total: seen.append((done, total)))
    assert sorted(platform.sessions.files) == ["in/.gitignore", "in/sub/data"]
    assert seen[-1] == (100_006, 100_006)
    result = blocking.files.download_directory(ref, "in", tmp_path / "out")
    assert sorted(result.files) == ["in/.gitignore", "in/sub/data"]
    assert (tmp_path / "out" / "in" / "sub" / "data").read_bytes() == b"d" * 100_000


def test_uploads_take_directories_files_and_streams(blocking: Client, tmp_path: Path) -> None:
    directory = tmp_path / "job"
    directory.mkdir()
    (directory / "train.py").write_text("print()")
    upload = blocking.uploads.create(directory)
    assert blocking.sessions.create(["x"], upload=upload).state is SessionState.RUNNING
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(directory / "train.py", "train.py")
    (tmp_path / "job.tar").write_bytes(buffer.getvalue())
    assert blocking.uploads.create(tmp_path / "job.tar").size == len(buffer.getvalue())
    assert blocking.uploads.create([buffer.getvalue()]).size == len(buffer.getvalue())
    with pytest.raises(InvalidInput, match="no tar archive"):
        blocking.uploads.create(b"nonsense")
    with pytest.raises(TooLarge, match=r"train\.py"):
        blocking.uploads.create(directory, limit_bytes=3)
    with pytest.raises(TooLarge, match="than this server takes"):
        blocking.uploads.create(b"x" * (8 << 20))


def test_nodes_environments_and_the_server(platform: FakePlatform, blocking: Client) -> None:
    assert [node.name for node in blocking.nodes.list()] == ["here"]
    assert blocking.nodes.get("here").slots == {"cpu": 2000}
    assert [environment.name for environment in blocking.environments.list()] == ["python"]
    assert blocking.environments.build("python").state == "ready"
    with pytest.raises(NotFound, match="none"):
        blocking.environments.get("none")
    with pytest.raises(ApiError) as fault:
        blocking.environments.get("explode")
    assert fault.value.problem.status == 500
    assert blocking.server().version
    assert blocking.health().status == "ok"
    platform.health.status = platform.health.status.model_copy(update={"status": "degraded"})
    assert blocking.health().status == "degraded"
    assert "madang_sessions" in blocking.metrics()


def test_a_closed_client_stays_closed(platform: FakePlatform) -> None:
    client = Client(platform.url, platform.token)
    client.close()
    client.close()
    assert platform.token not in repr(client._client._transport.connection)
