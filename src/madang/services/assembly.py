"""Making all use cases out of what they stand on; the composition root and tests share it."""

from __future__ import annotations

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
) -> Services:
    """All use cases over one database and one fabric; people sign in here, or with these sources."""
    sources = sources or Sources()
    room = Room(settings.data_dir)
    notices = NoticeService(database, hub, clock)
    sealer = Sealer.open(settings.data_dir / FILE_NAME)
    passwords = Passwords()
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
        mails=mailer is not None,
        sign_up=settings.sign_up,
    )
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
            sealer,
            spool=settings.data_dir / "uploads",
            body_limit=settings.upload_limit_bytes,
        ),
        sign_in=sign_in,
        openid=OpenIdService(clock, sources=sources, accounts=accounts, sealer=sealer, sign_in=sign_in),
        account=AccountService(database, clock, passwords=passwords, throttle=throttle, sealer=sealer),
        password_links=PasswordLinkService(
            database,
            clock,
            passwords=passwords,
            throttle=throttle,
            mailer=mailer,
            public_url=settings.public_url,
        ),
        invitations=InvitationService(
            database,
            clock,
            sign_in=sign_in,
            passwords=passwords,
            throttle=throttle,
            mailer=mailer,
            public_url=settings.public_url,
        ),
        roster=RosterService(database, clock, passwords=passwords, mailer=mailer, public_url=settings.public_url),
        signing_up=None
        if mailer is None or not settings.sign_up
        else SignUpService(
            database,
            clock,
            passwords=passwords,
            throttle=throttle,
            mailer=mailer,
            domain=settings.sign_up_domain,
        ),
        site_key=SiteKey(database, clock, sealer),
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
