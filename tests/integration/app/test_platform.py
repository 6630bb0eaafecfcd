"""`Platform` as a whole: what it leaves on disk, whom it refuses, and that it starts again on what it left."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from madang import app as app_module
from madang.agent.settings import AgentSettings
from madang.app import Platform
from madang.config import Settings
from madang.domain.errors import StartupError, Unauthorized
from madang.domain.session import SessionState
from madang.sdk import AsyncClient
from madang.sdk.connection import Connection
from tests.fakes import FakeAgent


class _Agent(FakeAgent):
    """The fake in the place of the real agent."""

    @classmethod
    async def open(cls, settings: AgentSettings) -> _Agent:
        return cls(settings.node_name)

    async def close(self) -> None: ...


@pytest.fixture
def settings(ready_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(app_module, "LocalAgent", _Agent)
    return Settings(data_dir=ready_dir, port=0, node_name="node1", prebuild=False)


@pytest.fixture
async def platform(settings: Settings) -> AsyncIterator[Platform]:
    made = Platform(settings)
    await made.start(lambda component, detail: None)
    yield made
    await made.stop()


def _client(platform: Platform, token: str | None = None) -> AsyncClient:
    return AsyncClient(platform.url, token or _connection(platform).token)


def _connection(platform: Platform) -> Connection:
    return Connection.model_validate_json(platform.token_path.read_bytes())


async def test_components_come_up_in_order_and_a_session_runs(settings: Settings) -> None:
    platform = Platform(settings)
    told: list[str] = []
    try:
        await platform.start(lambda component, detail: told.append(component))
        assert told == ["database", "migrations", "agent", "loops", "api"]
        assert platform.first_start
        async with _client(platform) as client:
            assert (await client.health()).status == "ok"
            made = await client.sessions.create(command=["exit", "0"], slots={"cpu": "0.5"})
            ended = await client.sessions.wait(made.id)
            assert ended.state is SessionState.SUCCEEDED
        serving = asyncio.create_task(platform.serve())
        await asyncio.sleep(0)
        platform.request_stop()
        await asyncio.wait_for(serving, 5)
    finally:
        await platform.stop()


async def test_the_first_token_is_private_and_is_kept(settings: Settings) -> None:
    first = Platform(settings)
    await first.start(lambda component, detail: None)
    token = _connection(first).token
    assert stat.S_IMODE(first.token_path.stat().st_mode) == 0o600
    assert _connection(first).url == first.url
    await first.stop()
    logs = "".join(file.read_text() for file in (settings.data_dir / "log").iterdir())
    assert token not in logs
    second = Platform(settings)
    await second.start(lambda component, detail: None)
    assert not second.first_start
    assert _connection(second).token == token
    async with _client(second) as client:
        assert (await client.me()).role == "admin"
    with pytest.raises(Unauthorized):
        async with _client(second, "mdg_" + "A" * 43) as client:
            await client.me()
    await second.stop()


async def test_a_second_instance_is_refused_and_the_first_goes_on(platform: Platform, settings: Settings) -> None:
    second = Platform(settings)
    with pytest.raises(StartupError, match="already runs on"):
        await second.start(lambda component, detail: None)
    await second.stop()
    async with _client(platform) as client:
        assert (await client.me()).name == "admin"


async def test_a_lock_file_that_nobody_holds_is_no_obstacle(settings: Settings) -> None:
    (settings.data_dir / "run" / "up.lock").write_text("1\n")
    platform = Platform(settings)
    await platform.start(lambda component, detail: None)
    await platform.stop()


async def test_a_port_in_use_is_told_before_anything_is_started(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        platform = Platform(settings.model_copy(update={"port": port}))
        with pytest.raises(StartupError, match=f"Port {port} .* --port"):
            await platform.start(lambda component, detail: None)
        await platform.stop()
    assert not (settings.data_dir / "postgres" / "postmaster.pid").exists()


async def test_a_mistake_in_sign_in_toml_is_told_before_anything_is_started(settings: Settings) -> None:
    (settings.data_dir / "sign-in.toml").write_text('[[ldap]]\nname = "lab"\n')
    platform = Platform(settings)
    with pytest.raises(StartupError, match=r"sign-in\.toml: \[\[ldap\]\] number 1: url is missing"):
        await platform.start(lambda component, detail: None)
    await platform.stop()
    assert not (settings.data_dir / "postgres" / "postmaster.pid").exists()


async def test_what_sign_in_toml_sets_up_is_offered_also_from_another_place(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "others.toml"
    file.write_text('[[ldap]]\nname = "lab"\nurl = "ldaps://127.0.0.1:1"\nuser_base = "dc=lab"\n')
    platform = Platform(settings.model_copy(update={"sign_in_file": file}))
    loops: dict[str, str] = {}
    await platform.start(loops.__setitem__)
    async with _client(platform) as client:
        assert [one.name for one in (await client.login.ways()).sources] == ["lab"]
    await platform.stop()
    assert "directories" in loops["loops"]


async def test_it_listens_on_loopback_only(platform: Platform) -> None:
    assert platform.url.startswith("http://127.0.0.1:")
