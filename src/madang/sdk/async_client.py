"""The asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType

from madang.schemas.api import Event, Health, Me, ServerInfo
from madang.sdk._transport import API, Transport
from madang.sdk.account import AsyncAccount
from madang.sdk.audit import AsyncAudit
from madang.sdk.catalog import AsyncEnvironments, AsyncNodes
from madang.sdk.connection import Connection
from madang.sdk.files import AsyncFiles
from madang.sdk.finding import find_connection
from madang.sdk.groups import AsyncGroups, AsyncReservations
from madang.sdk.invitations import AsyncInvitations
from madang.sdk.keys import AsyncKeys, AsyncProjectTokens
from madang.sdk.login import AsyncLogin
from madang.sdk.money import AsyncBudgets, AsyncPrices
from madang.sdk.people import AsyncDomains, AsyncProjects, AsyncSharing, AsyncUsers
from madang.sdk.policies import AsyncPolicies
from madang.sdk.sessions import AsyncSessions
from madang.sdk.site import AsyncAnnouncements, AsyncMaintenance, AsyncPresets
from madang.sdk.tokens import AsyncTokens
from madang.sdk.uploads import AsyncUploads
from madang.sdk.usage import AsyncUsage


class AsyncClient:
    """A server, seen from Python.

    Without arguments it is the one of MADANG_URL and MADANG_TOKEN (or MADANG_KEY and MADANG_SECRET, with which each
    request is signed), else that of the profile, see `madang login`, else the one that runs on this machine. `timeout`:
    seconds for one answer. `patience`: seconds for which a server that has answered before may be away before requests
    and streams give up. Errors are those of `madang.domain.errors`, each with a message that says what to do.

        async with AsyncClient() as client:
            session = await client.sessions.create(["python", "-c", "print('hello')"])
            async for piece in client.sessions.logs(session.id):
                print(piece.data.decode(), end="")
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        connection: Connection | None = None,
        timeout: float = 60.0,
        patience: float = 60.0,
    ) -> None:
        """`connection` says what `url` and `token` cannot: a signing key, or nobody's requests to sign in with."""
        connection = connection or find_connection(url, token)
        self.url = connection.url
        self._transport = Transport(connection, timeout=timeout, patience=patience)
        self.sessions = AsyncSessions(self._transport)
        self.sharing = AsyncSharing(self._transport)
        self.files = AsyncFiles(self._transport)
        self.uploads = AsyncUploads(self._transport)
        self.domains = AsyncDomains(self._transport)
        self.projects = AsyncProjects(self._transport)
        self.invitations = AsyncInvitations(self._transport)
        self.users = AsyncUsers(self._transport)
        self.nodes = AsyncNodes(self._transport)
        self.environments = AsyncEnvironments(self._transport)
        self.groups = AsyncGroups(self._transport)
        self.account = AsyncAccount(self._transport)
        self.tokens = AsyncTokens(self._transport)
        self.project_tokens = AsyncProjectTokens(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.login = AsyncLogin(self._transport)
        self.usage = AsyncUsage(self._transport)
        self.prices = AsyncPrices(self._transport)
        self.budgets = AsyncBudgets(self._transport)
        self.policies = AsyncPolicies(self._transport)
        self.audit = AsyncAudit(self._transport)
        self.reservations = AsyncReservations(self._transport)
        self.presets = AsyncPresets(self._transport)
        self.announcements = AsyncAnnouncements(self._transport)
        self.maintenance = AsyncMaintenance(self._transport)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of all connections."""
        await self._transport.close()

    @property
    def notices(self) -> tuple[str, ...]:
        """What is said to everybody, as the last answer had it: ids of announcements, and `maintenance-` with the id
        of a maintenance. Nothing has been asked for them."""
        return tuple(self._transport.notice.split())

    async def me(self) -> Me:
        """Whose token this is."""
        return await self._transport.get(Me, f"{API}/me")

    async def server(self) -> ServerInfo:
        """What server this is."""
        return await self._transport.get(ServerInfo, f"{API}/server")

    async def health(self) -> Health:
        """Whether it is ready to take work, and what of it is not. Raises NoServer when it does not answer."""
        response = await self._transport.call("GET", "/readyz", accept=503)
        return self._transport.parse(Health, response.content)

    async def metrics(self) -> str:
        """Counters in Prometheus' text format."""
        return (await self._transport.call("GET", "/metrics")).text

    async def events(self, *, after: str | None = None, follow: bool = True) -> AsyncIterator[Event]:
        """Everything that happens to what you may see, from the first event kept, or behind event `after`."""
        async for event in self._transport.follow(f"{API}/events", {"follow": follow}, after):
            if event.name == "event":
                yield self._transport.parse(Event, event.data.encode())
