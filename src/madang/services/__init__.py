"""Use cases, one module a noun."""

from __future__ import annotations

from dataclasses import dataclass

from madang.services.account import AccountService
from madang.services.audit import AuditService
from madang.services.budgets import BudgetService
from madang.services.domains import DomainService
from madang.services.environments import EnvironmentService
from madang.services.groups import GroupService
from madang.services.health import HealthService
from madang.services.invitations import InvitationService
from madang.services.keys import KeyService
from madang.services.metrics import Metrics
from madang.services.nodes import NodeService
from madang.services.notices import NoticeService
from madang.services.openid import OpenIdService
from madang.services.password_links import PasswordLinkService
from madang.services.policies import PolicyService
from madang.services.presets import PresetService
from madang.services.prices import PriceService
from madang.services.projects import ProjectService
from madang.services.reservations import ReservationService
from madang.services.robots import ProjectTokenService
from madang.services.roster import RosterService
from madang.services.sessions import SessionService
from madang.services.sharing import SharingService
from madang.services.sign_in import SignInService
from madang.services.sign_up import SignUpService
from madang.services.site_key import SiteKey
from madang.services.streams import StreamService
from madang.services.tokens import TokenService
from madang.services.uploads import UploadService
from madang.services.usage import UsageService
from madang.services.users import UserService


@dataclass(frozen=True, slots=True)
class Services:
    """All use cases, made once by the composition root and given to the API."""

    sessions: SessionService
    sharing: SharingService
    domains: DomainService
    projects: ProjectService
    users: UserService
    nodes: NodeService
    groups: GroupService
    presets: PresetService
    notices: NoticeService
    reservations: ReservationService
    environments: EnvironmentService
    uploads: UploadService
    tokens: TokenService
    keys: KeyService
    project_tokens: ProjectTokenService
    sign_in: SignInService
    openid: OpenIdService
    account: AccountService
    password_links: PasswordLinkService
    invitations: InvitationService
    roster: RosterService
    signing_up: SignUpService | None
    site_key: SiteKey
    public_url: str | None
    streams: StreamService
    health: HealthService
    metrics: Metrics
    audit: AuditService
    policies: PolicyService
    usage: UsageService
    prices: PriceService
    budgets: BudgetService
