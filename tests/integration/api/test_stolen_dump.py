"""Whoever steals a copy of the database signs in with nothing that is in it, and no secret is to be read there.

A site with everything that people and machines sign in with is dumped as pg_dump would write it. Each value of it, as
it stands, in hexadecimal and in base 64, is then tried on every way in.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg
import pyotp
import pytest
from sqlalchemy import delete

from madang.db.engine import Transaction
from madang.db.repositories import credentials
from madang.db.site_tables import sign_in_attempts
from madang.domain.errors import MadangError
from madang.domain.signing import authorization
from madang.schemas.api import TokenCreate
from madang.schemas.machines import KeyCreate, ProjectTokenCreate
from madang.schemas.people import UserCreate
from madang.services import second_factor
from madang.services.identity.sealed import FILE_NAME, Sealer
from tests.doors import PASSWORD, Site
from tests.fakes import FakeAgent

ME: Final = "/api/v1/me"
_SECRET_COLUMNS: Final = {
    "users": ("password", "totp"),
    "tokens": ("digest",),
    "links": ("digest",),
    "recovery_codes": ("digest",),
    "signing_keys": ("sealed",),
}


@dataclass
class Loot:
    """What is in the copy."""

    text: bytes = b""
    values: set[str] = field(default_factory=set)
    kim: tuple[object, ...] = ()  # the row of an account
    stored: set[str] = field(default_factory=set)  # the values that stand for a credential


class Stolen(Site):
    """Everything that can be signed in with."""

    async def fill(self) -> None:
        await super().fill()
        self.issued: set[str] = {PASSWORD, self.admin_token}
        token = (await self.sign_in("kim", PASSWORD)).json()["token"]
        self.kim = await self.services.tokens.authenticate(token)
        browser = await self.browser()
        self.issued |= {token, browser.cookie.partition("=")[2], browser.csrf}
        self.issued.add((await self.services.tokens.create(self.kim, TokenCreate(label="ci"))).token)
        self.key = await self.services.keys.create(self.kim, KeyCreate(label="ci"))
        self.issued.add(self.key.secret)
        header = authorization(self.key.id, self.key.secret, "GET", ME, body=b"", now=self.clock.now())
        assert (await self.http.get(ME, headers={"Authorization": header})).status_code == 200
        robot = await self.services.project_tokens.create(
            self.admin, "default", "default", ProjectTokenCreate(label="ci")
        )
        self.issued.add(robot.token)
        await self._second_factor(token)
        await self._links()

    async def _second_factor(self, token: str) -> None:
        begun = (await self.ask(token, "POST", "/me/second-factor", {"password": PASSWORD})).json()
        confirm = {"enrolment": begun["enrolment"], "code": pyotp.TOTP(begun["secret"]).at(self.clock.now())}
        codes = (await self.ask(token, "PUT", "/me/second-factor", confirm)).json()["recovery_codes"]
        self.recovery_code = str(codes[0])
        self.issued |= {begun["secret"], begun["enrolment"], *codes, *(code.replace("-", "") for code in codes)}

    async def _links(self) -> None:
        await self.services.users.create(self.admin, UserCreate(name="lee"))
        self.issued.add(await self.first_password("lee"))
        password = (await self.as_admin("POST", "/users/lee/password-link")).json()["link"]
        invited = await self.as_admin("POST", "/domains/default/projects/default/invitations", {"role": "member"})
        for link in (password, invited.json()["link"]):
            self.issued |= {link, re.split(r"[#/]", link)[-1]}

    async def forgive(self) -> None:
        """Forget how often signing in has failed: what is tried here shall be looked at."""

        async def forget(transaction: Transaction) -> None:
            await transaction.connection.execute(delete(sign_in_attempts))

        await self.database.transaction(forget, "test.forgive")

    async def dump(self) -> Loot:
        """Every column of every table, as pg_dump writes it."""
        loot, whole = Loot(), io.BytesIO()
        connection = await asyncpg.connect(self.url)
        try:
            names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for (name,) in names:
                table = io.BytesIO()
                await connection.copy_from_table(name, output=table)
                whole.write(table.getvalue())
                loot.values |= set(_leaves(table.getvalue().decode()))
            loot.kim = tuple(await connection.fetchrow("SELECT * FROM users WHERE name = 'kim'") or ())
            for name, columns in _SECRET_COLUMNS.items():
                for column in columns:
                    found = await connection.fetch(f"SELECT {column} FROM {name} WHERE {column} IS NOT NULL")
                    assert found, f"{name}.{column} is empty: this shows nothing"
                    loot.stored |= {f"\\x{one.hex()}" if isinstance(one, bytes) else one for (one,) in found}
        finally:
            await connection.close()
        loot.text = whole.getvalue()
        return loot


def _leaves(text: str) -> Iterator[str]:
    """The values of rows as COPY writes them, and what JSON among them is made of."""
    for value in re.split(r"[\t\n]", text):
        plain = value.replace("\\\\", "\\")
        if plain in ("", "\\N"):
            continue
        yield plain
        if plain[0] in "[{":
            yield from _inside(json.loads(plain))


def _inside(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _inside(one)
    elif isinstance(value, list):
        for one in value:
            yield from _inside(one)
    elif isinstance(value, str) and value:
        yield value


def _forms(value: str) -> set[str]:
    """A stored value, its parts, and what somebody could make of it without a key."""
    return _encodings(value) | {part for part in re.split(r"[.$]", value) if part}


def _encodings(value: str) -> set[str]:
    raw = bytes.fromhex(value[2:]) if value.startswith("\\x") else value.encode()
    forms = {value, value.removeprefix("\\x"), raw.hex(), raw.hex().upper(), base64.b32encode(raw).decode()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms |= {encode(raw).decode(), encode(raw).decode().rstrip("=")}
    return forms


@pytest.fixture
async def stolen(database_url: str, tmp_path: Path) -> AsyncIterator[Stolen]:
    made = Stolen(database_url, tmp_path, [FakeAgent()])
    await made.open()
    await made.fill()
    yield made
    await made.http.aclose()
    await made.crash()


async def test_no_secret_that_was_issued_is_to_be_read_in_the_copy(stolen: Stolen) -> None:
    loot = await stolen.dump()
    text = loot.text.lower()
    assert b"kim@lab.example" in text
    for secret in stolen.issued:
        assert not [form for form in _encodings(secret) if form.lower().encode() in text], secret


async def test_nothing_of_the_copy_signs_anybody_in(stolen: Stolen) -> None:
    loot = await stolen.dump()
    forms = set().union(*(_forms(value) for value in loot.values))
    forms = {form for form in forms if 0 < len(form) < 2000 and form.isprintable()}
    assert len(forms) > 500
    numbers = itertools.count()
    services = stolen.services

    def address() -> str:
        number = next(numbers)
        return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    async def signed(form: str) -> None:
        header = authorization(stolen.key.id, form, "GET", ME, body=b"", now=stolen.clock.now())
        await services.keys.authenticate(header, "GET", ME)

    async def password_link(form: str) -> None:
        await services.password_links.use(form, "a wholly new phrase 7", address())

    async def invitation(form: str) -> None:
        await services.invitations.accept(stolen.kim, form)

    ways: list[Callable[[str], Awaitable[object]]] = [
        services.tokens.authenticate,
        services.tokens.authenticate_browser,
        lambda form: services.tokens.authenticate(f"mdg_{form}"),
        lambda form: services.tokens.authenticate_browser(f"mdb_{form}"),
        signed,
        lambda form: signed(f"mds_{form}"),
        password_link,
        invitation,
        lambda form: password_link(f"mdl_{form}"),
        lambda form: invitation(f"mdl_{form}"),
    ]
    for form in forms:
        for way in ways:
            with pytest.raises(MadangError):
                await way(form)
    for header in ("Bearer {}", "Bearer mdg_{}"):
        for form in _sendable(loot.stored):
            answer = await stolen.http.get(ME, headers={"Authorization": header.format(form)})
            assert answer.status_code == 401
            cookie = {"Cookie": f"__Host-madang={form}; __Host-madang=mdb_{form}"}
            assert (await stolen.http.get(ME, headers=cookie)).status_code == 401


async def test_nothing_of_the_copy_is_a_password(stolen: Stolen) -> None:
    loot = await stolen.dump()
    [own] = [value for value in loot.stored if value.startswith("$argon2") and value in str(loot.kim)]
    for form in sorted(loot.stored | _sendable({own})):
        await stolen.forgive()
        refused = await stolen.sign_in("kim", form)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")


async def test_nothing_of_the_copy_is_a_second_factor(stolen: Stolen) -> None:
    loot = await stolen.dump()
    sealer = Sealer.open(stolen.settings.data_dir / FILE_NAME)

    async def let_in(code: str) -> bool:
        async def use(transaction: Transaction) -> bool:
            account = await credentials.lock(transaction, stolen.kim.user_id)
            assert account is not None
            proof = second_factor.prove(sealer, account, code, stolen.clock.now())
            return proof is not None and await second_factor.use(transaction, account.id, proof)

        return await stolen.database.transaction(use, "test.code")

    forms = set().union(*(_forms(value) for value in loot.values))
    for code in {form for form in forms if len(form) <= 64}:
        assert not await let_in(code), code
    assert await let_in(stolen.recovery_code)


def _sendable(values: set[str]) -> set[str]:
    forms = set().union(*(_forms(value) for value in values))
    return {form for form in forms if form.isascii() and form.isprintable() and len(form) <= 500}
