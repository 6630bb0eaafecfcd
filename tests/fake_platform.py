"""A platform of fake services behind the real API on a real port."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from madang.api.app import create_app
from madang.api.server import ApiServer
from madang.services import Services
from madang.services.account import AccountService
from madang.services.budgets import BudgetService
from madang.services.domains import DomainService
from madang.services.invitations import InvitationService
from madang.services.keys import KeyService
from madang.services.openid import OpenIdService
from madang.services.password_links import PasswordLinkService
from madang.services.presets import PresetService
from madang.services.prices import PriceService
from madang.services.projects import ProjectService
from madang.services.robots import ProjectTokenService
from madang.services.roster import RosterService
from madang.services.sharing import SharingService
from madang.services.site_key import SiteKey
from madang.services.users import UserService
from tests.fake_cluster import Environments, FakeMetrics, Groups, Healths, Nodes, Reservations
from tests.fake_sessions import Sessions
from tests.fake_site import TOKEN, Audits, Notices, Policies, SignIns, Tokens, Usages
from tests.fake_streams import Streams, Uploads
from tests.loop_thread import LoopThread

T = TypeVar("T")


class FakePlatform:
    """A server over these use cases in a thread; it can be stopped and started again at the same port."""

    def __init__(self) -> None:
        self._loop = LoopThread()
        self.token = TOKEN
        self.server: ApiServer
        self._port = 0
        self.do(self._make())
        self.start()

    async def _make(self) -> None:
        self.sessions = Sessions()
        self.streams = Streams(self.sessions)
        self.health = Healths()
        self.tokens = Tokens()
        self.services = Services(
            sessions=self.sessions,
            # Tested over the real database: what they refuse is what matters of them.
            sharing=SharingService.__new__(SharingService),
            domains=DomainService.__new__(DomainService),
            projects=ProjectService.__new__(ProjectService),
            users=UserService.__new__(UserService),
            nodes=Nodes(),
            groups=Groups(),
            presets=PresetService.__new__(PresetService),
            notices=Notices(),
            reservations=Reservations(),
            environments=Environments(),
            uploads=Uploads(),
            tokens=self.tokens,
            keys=KeyService.__new__(KeyService),
            sign_in=SignIns(),
            openid=OpenIdService.__new__(OpenIdService),
            account=AccountService.__new__(AccountService),
            password_links=PasswordLinkService.__new__(PasswordLinkService),
            signing_up=None,
            site_key=SiteKey.__new__(SiteKey),
            public_url=None,
            project_tokens=ProjectTokenService.__new__(ProjectTokenService),
            invitations=InvitationService.__new__(InvitationService),
            roster=RosterService.__new__(RosterService),
            streams=self.streams,
            health=self.health,
            metrics=FakeMetrics(),
            audit=Audits(),
            policies=Policies(),
            usage=Usages(),
            prices=PriceService.__new__(PriceService),
            budgets=BudgetService.__new__(BudgetService),
        )

    @property
    def url(self) -> str:
        return self.server.url

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the server's event loop."""
        return self._loop.do(work)

    async def revoke(self) -> None:
        """Take the token of everybody back."""
        self.tokens.revoked.set()

    def start(self) -> None:
        async def go() -> None:
            self.server = ApiServer.open(create_app(self.services), "127.0.0.1", self._port)
            await self.server.start()

        self.do(go())
        self._port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        self.do(self.server.stop())

    def close(self) -> None:
        self.stop()
        self._loop.close()
