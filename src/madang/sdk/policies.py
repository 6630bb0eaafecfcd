"""Policies, asynchronously."""

from __future__ import annotations

from typing import Final

from madang.schemas.api import Page, Policy, PolicyHolder, PolicyLay, PolicyLimits
from madang.sdk._transport import API, JSON, Transport

_POLICIES: Final = f"{API}/policies"


class AsyncPolicies:
    """Limits with a name, laid upon users, projects and domains."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> list[Policy]:
        """By name."""
        return (await self._transport.get(Page[Policy], _POLICIES)).items

    async def set(self, name: str, limits: PolicyLimits) -> Policy:
        """Make a policy, or give it other limits. For administrators. Raises InvalidInput, Forbidden."""
        body = limits.model_dump_json(exclude_none=True).encode()
        response = await self._transport.call("PUT", f"{_POLICIES}/{name}", body=body, headers=JSON)
        return self._transport.parse(Policy, response.content)

    async def delete(self, name: str) -> None:
        """Delete a policy that is laid upon nobody. Raises NotFound, Conflict, Forbidden."""
        await self._transport.call("DELETE", f"{_POLICIES}/{name}")

    async def lay(self, policy: str | None, holder: PolicyHolder) -> None:
        """Lay a policy upon somebody, or with None take away what is laid there. Raises NotFound, Forbidden."""
        body = PolicyLay(policy=policy, upon=holder.upon, name=holder.name).model_dump_json().encode()
        await self._transport.call("POST", f"{_POLICIES}:lay", body=body, headers=JSON)
