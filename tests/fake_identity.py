"""A source of accounts that is a dictionary: the simplest that keeps to the rules of sources."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from madang.domain.ids import new_id
from madang.services.identity.base import Identity, NotRecognised
from madang.services.identity.passwords import Passwords


@dataclass
class Account:
    """Somebody in the dictionary."""

    identity: Identity
    stored: str
    disabled: bool = False


@dataclass
class FakeSource:
    """Names may be there more than once, as in directories."""

    name: str = "fake"
    passwords: Passwords = field(default_factory=lambda: Passwords(time_cost=1, memory_kib=64))
    accounts: list[Account] = field(default_factory=list)

    async def check(self, name: str, password: str) -> Identity:
        found = [account for account in self.accounts if account.identity.name == name]
        stored = found[0].stored if len(found) == 1 else None
        right = (await self.passwords.check(password, stored)).right
        if len(found) != 1:
            raise NotRecognised("more than one user" if found else "no such user")
        if not right:
            raise NotRecognised("wrong password")
        if found[0].disabled:
            raise NotRecognised("disabled", "This account is disabled.")
        return found[0].identity

    async def look_up(self, name: str) -> Identity | None:
        found = [account for account in self.accounts if account.identity.name == name]
        return found[0].identity if len(found) == 1 and not found[0].disabled else None

    async def find(self, subject: str) -> Identity | None:
        found = [account for account in self.accounts if account.identity.subject == subject]
        return found[0].identity if found and not found[0].disabled else None

    async def close(self) -> None:
        self.passwords.close()

    async def add(self, name: str, password: str) -> None:
        """Add somebody."""
        identity = Identity(self.name, new_id(), name, f"{name}@lab.example", name)
        self.accounts.append(Account(identity, await self.passwords.hash(password)))

    def change(self, name: str, /, **changes: object) -> None:
        """Change what is known of somebody."""
        for account in self.accounts:
            if account.identity.name == name:
                account.identity = replace(account.identity, **changes)  # type: ignore[arg-type]
