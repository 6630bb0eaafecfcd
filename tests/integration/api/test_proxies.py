"""Behind a reverse proxy the platform is reached by its public name, and nobody else says for whom they ask."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from starlette.requests import Request

from madang.api.app import create_app
from madang.api.server import ApiServer
from tests.world import World


@pytest.mark.parametrize(
    ("trusted", "seen"), [((), "127.0.0.1"), (("127.0.0.1",), "192.0.2.7"), (("10.0.0.0/8",), "127.0.0.1")]
)
async def test_only_a_trusted_proxy_says_who_asks(trusted: tuple[str, ...], seen: str) -> None:
    app = create_app(None)

    @app.get("/who")
    async def who(request: Request) -> str:
        return request.client.host if request.client else ""

    server = ApiServer.open(app, "127.0.0.1", 0, trusted_proxies=trusted)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/who", headers={"X-Forwarded-For": "192.0.2.7"})).json() == seen
    await server.stop()


async def test_the_public_name_is_answered_to_and_no_other(idle_world: World) -> None:
    services = replace(idle_world.services, public_url="https://madang.example.org")
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://madang.example.org") as http:
        assert (await http.get("/api/v1/sign-in")).status_code == 200
        assert (await http.get("/api/v1/sign-in", headers={"Host": "evil.example.org"})).status_code == 421
