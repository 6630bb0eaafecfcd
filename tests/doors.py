"""A server that is reached as everybody reaches it, to sign in there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI

from madang.api.app import create_app
from madang.schemas.people import UserCreate
from tests.world import World

PASSWORD = "correct horse battery"
ANOTHER = "staple of wide rivers"
COOKIE = "__Host-madang"


class Site(World):
    """A server with the account kim, reached as everybody reaches it."""

    app: FastAPI
    http: httpx.AsyncClient

    async def fill(self) -> None:
        self.admin_token = await self.services.tokens.issue("admin", "admin", "test")
        self.admin = await self.services.tokens.authenticate(self.admin_token)
        await self.services.users.create(self.admin, UserCreate(name="kim", email="kim@lab.example"))
        self.app = create_app(self.services)
        self.http = self.client()
        await self.set_password("kim", PASSWORD)

    def client(self, address: str = "127.0.0.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    async def as_admin(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        return await self.http.request(method, f"/api/v1{path}", json=body, headers=headers)

    async def first_password(self, name: str) -> str:
        answer = await self.as_admin("POST", f"/users/{name}/password")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["password"])

    async def set_password(self, name: str, password: str) -> None:
        first = await self.first_password(name)
        answer = await self.sign_in(name, first, new_password=password)
        assert answer.status_code == 201, answer.text

    async def sign_in(self, name: str, password: str, how: str = "token", **more: str) -> httpx.Response:
        body = {"name": name, "password": password, **more}
        async with self.client() as http:
            return await http.post(f"/api/v1/sign-in/{how}", json=body)

    async def browser(self, name: str = "kim", password: str = PASSWORD) -> Browser:
        answer = await self.sign_in(name, password, "browser")
        assert answer.status_code == 200, answer.text
        return Browser(self, answer.headers["set-cookie"].partition(";")[0], answer.json()["csrf"])

    async def ask(self, token: str, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.request(method, f"/api/v1{path}", json=body, headers=headers)


class Browser:
    """What a browser would send: its cookie, and what a page adds."""

    def __init__(self, site: Site, cookie: str, csrf: str) -> None:
        self._site = site
        self.cookie = cookie
        self.csrf = csrf

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        sent = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self._site.http.request(method, f"/api/v1{path}", json=body, headers=sent)


async def opened(made: Site) -> AsyncIterator[Site]:
    await made.open()
    await made.fill()
    yield made
    await made.http.aclose()
    await made.crash()
