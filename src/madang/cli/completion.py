"""What the shell offers after TAB: names of sessions and environments. A server that is away offers nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from madang.sdk import AsyncClient

_LIMIT = 50


def session_names(incomplete: str) -> list[str]:
    """Names of the newest sessions."""
    return _matching(_sessions, incomplete)


def environment_names(incomplete: str) -> list[str]:
    """Names of all environments."""
    return _matching(_environments, incomplete)


def node_names(incomplete: str) -> list[str]:
    """Names of all nodes."""
    return _matching(_nodes, incomplete)


def group_names(incomplete: str) -> list[str]:
    """Names of all resource groups."""
    return _matching(_groups, incomplete)


def reservation_names(incomplete: str) -> list[str]:
    """Names of the reservations that the user may know of."""
    return _matching(_reservations, incomplete)


def preset_names(incomplete: str) -> list[str]:
    """Names of the presets of all resource groups."""
    return _matching(_presets, incomplete)


def key_ids(incomplete: str) -> list[str]:
    """Ids of the user's signing keys."""
    return _matching(_keys, incomplete)


def project_names(incomplete: str) -> list[str]:
    """Paths of the projects that the user may see."""
    return _matching(_projects, incomplete)


def profile_names(incomplete: str) -> list[str]:
    """Names of the servers that the user has signed in to."""
    from madang.domain.errors import MadangError
    from madang.sdk.connection import LOCAL
    from madang.sdk.profiles import read_profiles

    found: list[str] = []
    with contextlib.suppress(MadangError, OSError):
        found = [*read_profiles().profiles, LOCAL]
    return [name for name in found if name.startswith(incomplete)]


def _matching(names: Callable[[AsyncClient], Awaitable[list[str]]], incomplete: str) -> list[str]:
    import asyncio

    from madang.domain.errors import MadangError
    from madang.sdk import AsyncClient

    async def ask() -> list[str]:
        async with AsyncClient(timeout=2, patience=0) as client:
            return await names(client)

    found: list[str] = []
    with contextlib.suppress(MadangError, TimeoutError):
        found = asyncio.run(asyncio.wait_for(ask(), 3))
    return [name for name in dict.fromkeys(found) if name.startswith(incomplete)]


async def _sessions(client: AsyncClient) -> list[str]:
    names: list[str] = []
    async for session in client.sessions.list(page_size=_LIMIT):
        names.append(session.name)
        if len(names) == _LIMIT:
            break
    return names


async def _environments(client: AsyncClient) -> list[str]:
    return [environment.name for environment in await client.environments.list()]


async def _nodes(client: AsyncClient) -> list[str]:
    return [node.name for node in await client.nodes.list()]


async def _keys(client: AsyncClient) -> list[str]:
    return [key.id for key in await client.keys.list()]


async def _projects(client: AsyncClient) -> list[str]:
    return [project.project for project in await client.projects.list()]


async def _groups(client: AsyncClient) -> list[str]:
    return [group.name for group in await client.groups.list()]


async def _presets(client: AsyncClient) -> list[str]:
    groups = await client.groups.list()
    return [preset.name for group in groups for preset in await client.presets.list(group.name)]


async def _reservations(client: AsyncClient) -> list[str]:
    return [reservation.name for reservation in await client.reservations.list()]
