"""Making all use cases out of what they stand on; the composition root and tests share it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from madang.config import Settings
from madang.db.engine import Database
from madang.db.hub import Hub
from madang.db.schema import newest
from madang.domain.ids import Clock
from madang.fabric.base import Fabric
from madang.services import Services
from madang.services.account import AccountService
from madang.services.audit import AuditService
from madang.services.budgets import BudgetService
from madang.services.catalog import Catalog
from madang.services.domains import DomainService
from madang.services.environments import EnvironmentService
from madang.services.groups import GroupService
from madang.services.health import HealthService
from madang.services.identity.accounts import Accounts
from madang.services.identity.attempts import StoredAttempts
from madang.services.identity.passwords import Passwords
from madang.services.identity.sealed import FILE_NAME, Sealer
from madang.services.identity.sources import Sources
from madang.services.identity.throttle import Throttle
from madang.services.invitations import InvitationService
from madang.services.keys import KeyService
from madang.services.mail import Mailer
from madang.services.metrics import Metrics
from madang.services.nodes import NodeService
from madang.services.notices import NoticeService
from madang.services.openid import OpenIdService
from madang.services.password_links import PasswordLinkService
from madang.services.policies import PolicyService
from madang.services.presets import PresetService
from madang.services.prices import PriceService
from madang.services.projects import ProjectService
from madang.services.pulse import Pulse
from madang.services.reservations import ReservationService
from madang.services.robots import ProjectTokenService
from madang.services.room import Room
from madang.services.roster import RosterService
from madang.services.sessions import SessionService
from madang.services.sharing import SharingService
from madang.services.sign_in import Lifetimes, SignInService
from madang.services.sign_up import SignUpService
from madang.services.site_key import SiteKey
from madang.services.streams import StreamService
from madang.services.tokens import TokenService
from madang.services.uploads import UploadService
from madang.services.usage import UsageService
from madang.services.users import UserService


def assemble(
    settings: Settings,
    *,
    database: Database,
    hub: Hub,
    fabric: Fabric,
    clock: Clock,
    pulse: Pulse,
    sources: Sources | None = None,
    passwords: Passwords | None = None,
) -> Services:
    """All use cases over one database and one fabric; people sign in here, or with these sources."""
    sources = sources or Sources()
    room = Room(settings.data_dir)
    notices = NoticeService(database, hub, clock)
    door = _Door.open(settings, database, clock, sources, passwords or Passwords())
    return Services(
        sessions=SessionService(database, fabric, clock, catalog=Catalog(database, hub), room=room, notices=notices),
        sharing=SharingService(database, clock),
        domains=DomainService(database, clock),
        projects=ProjectService(database, clock),
        users=UserService(database, clock, sources.rules),
        nodes=NodeService(database, clock),
        groups=GroupService(database, clock),
        presets=PresetService(database, clock),
        notices=notices,
        reservations=ReservationService(database, clock),
        environments=EnvironmentService(fabric),
        uploads=UploadService(database, clock, settings.data_dir / "uploads", settings.upload_limit_bytes, room),
        tokens=TokenService(database, hub, clock, timedelta(hours=settings.browser_idle_hours)),
        project_tokens=ProjectTokenService(database, clock),
        keys=KeyService(
            database,
            clock,
            door.sealer,
            spool=settings.data_dir / "uploads",
            body_limit=settings.upload_limit_bytes,
        ),
        sign_in=door.sign_in,
        openid=door.openid(),
        account=door.account(),
        password_links=door.password_links(),
        invitations=door.invitations(),
        roster=door.roster(),
        signing_up=door.signing_up(),
        site_key=SiteKey(database, clock, door.sealer),
        public_url=settings.public_url,
        streams=StreamService(database, fabric, hub),
        health=HealthService(database, fabric, pulse, newest()),
        metrics=Metrics(database, clock),
        audit=AuditService(database, clock, settings.audit_days),
        policies=PolicyService(database, clock),
        usage=UsageService(database, clock),
        prices=PriceService(database, clock),
        budgets=BudgetService(database, clock),
    )


@dataclass(frozen=True, slots=True)
class _Door:
    """What all ways of coming in stand on, and the use cases made of it."""

    settings: Settings
    database: Database
    clock: Clock
    sources: Sources
    sealer: Sealer
    passwords: Passwords
    mailer: Mailer | None
    throttle: Throttle
    accounts: Accounts
    sign_in: SignInService

    @classmethod
    def open(
        cls, settings: Settings, database: Database, clock: Clock, sources: Sources, passwords: Passwords
    ) -> _Door:
        sealer = Sealer.open(settings.data_dir / FILE_NAME)
        mailer = Mailer.open(settings)
        throttle = Throttle(StoredAttempts(database), clock, sealer.digest)
        accounts = Accounts(database, clock, sources.rules)
        sign_in = SignInService(
            database,
            clock,
            passwords=passwords,
            throttle=throttle,
            sealer=sealer,
            lifetimes=Lifetimes(timedelta(days=settings.login_days), timedelta(days=settings.browser_days)),
            sources=sources,
            accounts=accounts,
            mailer=mailer,
            sign_up=settings.sign_up,
        )
        return cls(
            settings=settings,
            database=database,
            clock=clock,
            sources=sources,
            sealer=sealer,
            passwords=passwords,
            mailer=mailer,
            throttle=throttle,
            accounts=accounts,
            sign_in=sign_in,
        )

    def openid(self) -> OpenIdService:
        return OpenIdService(
            self.clock, sources=self.sources, accounts=self.accounts, sealer=self.sealer, sign_in=self.sign_in
        )

    def account(self) -> AccountService:
        return AccountService(
            self.database, self.clock, passwords=self.passwords, throttle=self.throttle, sealer=self.sealer
        )

    def password_links(self) -> PasswordLinkService:
        return PasswordLinkService(
            self.database,
            self.clock,
            passwords=self.passwords,
            throttle=self.throttle,
            mailer=self.mailer,
            public_url=self.settings.public_url,
        )

    def invitations(self) -> InvitationService:
        return InvitationService(
            self.database,
            self.clock,
            sign_in=self.sign_in,
            passwords=self.passwords,
            throttle=self.throttle,
            mailer=self.mailer,
            public_url=self.settings.public_url,
        )

    def roster(self) -> RosterService:
        return RosterService(
            self.database,
            self.clock,
            passwords=self.passwords,
            mailer=self.mailer,
            public_url=self.settings.public_url,
        )

    def signing_up(self) -> SignUpService | None:
        """None while people may not sign up."""
        if self.mailer is None or not self.settings.sign_up:
            return None
        return SignUpService(
            self.database,
            self.clock,
            passwords=self.passwords,
            throttle=self.throttle,
            mailer=self.mailer,
            domain=self.settings.sign_up_domain,
        )
