"""People, policies and what is said to all, in memory, so that the API and the SDK can be tested alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from madang.db.rows import Holder
from madang.domain.errors import (
    NotFound,
    Unauthorized,
)
from madang.domain.people import Caller
from madang.schemas.api import (
    AuditEntry,
    Page,
    Policy,
    PolicyLimits,
    UsageReport,
)
from madang.schemas.sign_in import SignInWays
from madang.services.audit import AuditFilter, AuditService
from madang.services.notices import NoticeService
from madang.services.policies import PolicyService
from madang.services.sign_in import SignInService
from madang.services.tokens import TokenService
from madang.services.usage import By, UsageService
from tests.fake_sessions import now

TOKEN = "mdg_" + "t" * 43


ALICE = Caller(user_id="0" * 26, name="alice", role="admin")


class Tokens(TokenService):
    def __init__(self) -> None:
        self.revoked = asyncio.Event()

    async def authenticate(self, token: str) -> Caller:
        if token != TOKEN:
            raise Unauthorized("This token is unknown.")
        return ALICE

    async def changed(self, caller: Caller, allow: Callable[[], Awaitable[object]] | None = None) -> None:
        await self.revoked.wait()


class SignIns(SignInService):
    def __init__(self) -> None:
        pass

    def ways(self) -> SignInWays:
        return SignInWays(password=True, sign_up=False, password_link=False, sources=[])


class Audits(AuditService):
    def __init__(self) -> None:
        pass

    async def list(
        self, caller: Caller, wanted: AuditFilter = AuditFilter(), *, limit: int = 50, cursor: str | None = None
    ) -> Page[AuditEntry]:
        return Page[AuditEntry](items=[])


class Policies(PolicyService):
    def __init__(self) -> None:
        pass

    async def list(self, caller: Caller) -> Sequence[Policy]:
        return []

    async def put(self, caller: Caller, name: str, limits: PolicyLimits) -> Policy:
        return Policy(name=name, limits=limits, holders=[], created_at=now())

    async def delete(self, caller: Caller, name: str) -> None:
        raise NotFound(f"There is no policy '{name}'.")

    async def lay(self, caller: Caller, policy: str | None, upon: Holder, name: str) -> None:
        pass


class Usages(UsageService):
    def __init__(self) -> None:
        pass

    async def report(self, caller: Caller, by: By, when: str | None = None, timezone: str = "UTC") -> UsageReport:
        return UsageReport(by=by, since=now(), until=now(), currency="KRW", cost="0", rows=[])


class Notices(NoticeService):
    def __init__(self) -> None:
        self.told = ""

    async def header(self) -> str:
        return self.told
