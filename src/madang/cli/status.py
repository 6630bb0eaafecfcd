"""`madang status`: whether the platform is well, and what it is doing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.i18n import t
from madang.cli.node import shares

if TYPE_CHECKING:
    from madang.schemas.api import Health, NodeState, ServerInfo
    from madang.sdk import AsyncClient


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="status", help=t("status.help"))(status)


def status(json: Annotated[bool, typer.Option("--json", help=t("json.help"))] = False) -> None:
    """See the catalogue for the help text."""
    url, server, health, nodes, sessions = with_client(_ask)
    if json:
        output.dump(
            {
                "url": url,
                "server": server.model_dump(mode="json"),
                "health": health.model_dump(mode="json"),
                "nodes": [node.model_dump(mode="json") for node in nodes],
                "sessions": dict(sessions),
            }
        )
    else:
        _print(url, server, health, nodes, sessions)
    if health.status != "ok":
        raise typer.Exit(1)


async def _ask(client: AsyncClient) -> tuple[str, ServerInfo, Health, list[NodeState], Counter[str]]:
    from madang.domain.session import ENDED, SessionState

    health = await client.health()
    server = await client.server()
    nodes = await client.nodes.list()
    live = [state for state in SessionState if state not in ENDED]
    sessions = Counter([str(session.state) async for session in client.sessions.list(states=live)])
    return client.url, server, health, nodes, sessions


def _print(url: str, server: ServerInfo, health: Health, nodes: list[NodeState], sessions: Counter[str]) -> None:
    counted = ", ".join(f"{count} {state}" for state, count in sorted(sessions.items())) or t("session.none_live")
    pairs = {t("status.server"): f"{url}, Madang {server.version}", t("status.health"): health.status}
    pairs |= {f"  {name}": detail for name, detail in health.components.items()}
    pairs |= {t("column.sessions"): counted}
    pairs |= {f"{t('column.node')} {node.name}": f"{node.state}, {shares(node.used, node.slots)}" for node in nodes}
    output.fields(pairs)
