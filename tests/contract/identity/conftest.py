"""Every source of accounts that checks passwords, with a way to change who is in it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest

from madang.services.identity.base import PasswordSource
from tests.conftest import open_directory
from tests.fake_identity import FakeSource
from tests.slapd import PEOPLE, Directory, require_slapd


class Registry(Protocol):
    """What those who keep the accounts do."""

    async def add(self, name: str, password: str) -> None: ...
    async def add_again(self, name: str, password: str) -> None: ...
    async def set_groups(self, name: str, groups: list[str]) -> None: ...
    async def disable(self, name: str) -> None: ...
    async def set_password(self, name: str, password: str) -> None: ...
    async def rename(self, name: str, to: str) -> None: ...


@dataclass
class Case:
    """A source, and those who keep it."""

    source: PasswordSource
    registry: Registry


class _FakeRegistry:
    def __init__(self, source: FakeSource) -> None:
        self._source = source

    async def add(self, name: str, password: str) -> None:
        await self._source.add(name, password)

    async def add_again(self, name: str, password: str) -> None:
        await self._source.add(name, password)

    async def set_groups(self, name: str, groups: list[str]) -> None:
        self._source.change(name, groups=frozenset(groups))

    async def disable(self, name: str) -> None:
        for account in self._source.accounts:
            account.disabled |= account.identity.name == name

    async def set_password(self, name: str, password: str) -> None:
        for account in self._source.accounts:
            if account.identity.name == name:
                account.stored = await self._source.passwords.hash(password)

    async def rename(self, name: str, to: str) -> None:
        self._source.change(name, name=to)


class _LdapRegistry:
    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def add(self, name: str, password: str) -> None:
        self._directory.add_person(name, password)

    async def add_again(self, name: str, password: str) -> None:
        unit = f"ou={name}-elsewhere"
        self._directory.add(f"{unit},{PEOPLE}", ["organizationalUnit"], {"ou": f"{name}-elsewhere"})
        self._directory.add_person(name, password, unit=f"{unit},")

    async def set_groups(self, name: str, groups: list[str]) -> None:
        self._directory.set_groups(f"uid={name},{PEOPLE}", groups)

    async def disable(self, name: str) -> None:
        self._directory.change(f"uid={name},{PEOPLE}", {"employeeType": ["disabled"]})

    async def set_password(self, name: str, password: str) -> None:
        self._directory.change(f"uid={name},{PEOPLE}", {"userPassword": [password]})

    async def rename(self, name: str, to: str) -> None:
        self._directory.rename(f"uid={name},{PEOPLE}", f"uid={to}")


@pytest.fixture(scope="session")
def _directory() -> Iterator[Directory]:
    require_slapd()
    home = open_directory()
    directory = Directory(home)
    try:
        directory.start()
        directory.fill()
        yield directory
    finally:
        directory.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["fake", "ldap", "ldaps with member-of"])
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    if request.param == "fake":
        fake = FakeSource()
        yield Case(fake, _FakeRegistry(fake))
        await fake.close()
        return
    directory: Directory = request.getfixturevalue("_directory")
    changes = {"url": directory.secure_url, "group_base": ""} if "ldaps" in request.param else {}
    source = directory.source(**changes)
    yield Case(source, _LdapRegistry(directory))
    await source.close()
