"""The synchronous client: the asynchronous one on an event loop of its own."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from madang.schemas.api import Event, Health, Me, ServerInfo
from madang.sdk._bridge import Bridge
from madang.sdk.async_client import AsyncClient
from madang.sdk.blocking import (
    Audit,
    Environments,
    Files,
    Groups,
    Nodes,
    Policies,
    Reservations,
    Sessions,
    Tokens,
    Uploads,
    Usages,
)
from madang.sdk.blocking_account import Account
from madang.sdk.blocking_invitations import Invitations
from madang.sdk.blocking_keys import Keys, ProjectTokens
from madang.sdk.blocking_money import Budgets, Prices
from madang.sdk.blocking_people import Domains, Projects, Sharing, Users
from madang.sdk.blocking_site import Announcements, Maintenance, Presets
from madang.sdk.connection import Connection


class Client:
    """A server, seen from Python.

    Without arguments it is the one of MADANG_URL and MADANG_TOKEN (or MADANG_KEY and MADANG_SECRET, with which each
    request is signed), else that of the profile, see `madang login`, else the one that runs on this machine. `timeout`:
    seconds for one answer. `patience`: seconds for which a server that has answered before may be away before requests
    and streams give up. Errors are those of `madang.domain.errors`, each with a message that says what to do. It may
    be used from several threads.

        with Client() as client:
            session = client.sessions.create(["python", "-c", "print('hello')"])
            for piece in client.sessions.logs(session.id):
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
        self._client = AsyncClient(url, token, connection=connection, timeout=timeout, patience=patience)
        self._bridge = Bridge()
        self.url = self._client.url
        self.sessions = Sessions(self._client.sessions, self._bridge)
        self.sharing = Sharing(self._client.sharing, self._bridge)
        self.files = Files(self._client.files, self._bridge)
        self.uploads = Uploads(self._client.uploads, self._bridge)
        self.domains = Domains(self._client.domains, self._bridge)
        self.projects = Projects(self._client.projects, self._bridge)
        self.invitations = Invitations(self._client.invitations, self._bridge)
        self.users = Users(self._client.users, self._bridge)
        self.nodes = Nodes(self._client.nodes, self._bridge)
        self.environments = Environments(self._client.environments, self._bridge)
        self.groups = Groups(self._client.groups, self._bridge)
        self.account = Account(self._client.account, self._bridge)
        self.tokens = Tokens(self._client.tokens, self._bridge)
        self.project_tokens = ProjectTokens(self._client.project_tokens, self._bridge)
        self.keys = Keys(self._client.keys, self._bridge)
        self.usage = Usages(self._client.usage, self._bridge)
        self.prices = Prices(self._client.prices, self._bridge)
        self.budgets = Budgets(self._client.budgets, self._bridge)
        self.policies = Policies(self._client.policies, self._bridge)
        self.audit = Audit(self._client.audit, self._bridge)
        self.reservations = Reservations(self._client.reservations, self._bridge)
        self.presets = Presets(self._client.presets, self._bridge)
        self.announcements = Announcements(self._client.announcements, self._bridge)
        self.maintenance = Maintenance(self._client.maintenance, self._bridge)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections. Once more does nothing."""
        if self._bridge.running:
            self._bridge.run(self._client.close())
            self._bridge.close()

    @property
    def notices(self) -> tuple[str, ...]:
        """What is said to everybody, as the last answer had it. See AsyncClient.notices."""
        return self._client.notices

    def me(self) -> Me:
        """Whose token this is."""
        return self._bridge.run(self._client.me())

    def server(self) -> ServerInfo:
        """What server this is."""
        return self._bridge.run(self._client.server())

    def health(self) -> Health:
        """Whether it is ready to take work, and what of it is not. Raises NoServer when it does not answer."""
        return self._bridge.run(self._client.health())

    def metrics(self) -> str:
        """Counters in Prometheus' text format."""
        return self._bridge.run(self._client.metrics())

    def events(self, *, after: str | None = None, follow: bool = True) -> Iterator[Event]:
        """Everything that happens to what you may see, from the first event kept, or behind event `after`."""
        return self._bridge.iterate(self._client.events(after=after, follow=follow))
