"""Nothing that is a secret stands in a log because somebody wrote an object into it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

from madang.domain.signing import new_secret
from madang.services.identity.ldap import LdapSettings
from madang.services.identity.oidc import BrowserSignIn, DeviceSignIn, OidcSettings
from madang.services.identity.sealed import Sealer
from madang.services.identity.signed import NewKey
from madang.services.identity.totp import enrol


def test_objects_that_hold_secrets_do_not_show_them() -> None:
    enrolment, key = enrol("minji", "lab"), NewKey("mdk_x", new_secret(), "sealed")
    shown = repr(
        [
            LdapSettings("lab", "ldaps://lab", "dc=lab", bind_password="hidden"),
            OidcSettings("lab", "https://lab", "madang", client_secret="hidden"),
            BrowserSignIn("https://lab/?state=hidden", "https://madang", "hidden", "hidden", "hidden"),
            DeviceSignIn("hidden", "hidden", "https://lab", "https://lab?hidden", 5, datetime.now(UTC)),
            Sealer([b"hidden" * 5 + b".."]),
            enrolment,
            key,
        ]
    )
    for secret in ("hidden", enrolment.secret, enrolment.uri, key.secret):
        assert secret not in shown


def test_without_its_package_ldap_says_what_to_install() -> None:
    code = "import sys; sys.modules['ldap3'] = None\nimport madang.services.identity.ldap"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert made.returncode
    assert (
        "StartupError: Sign-in by LDAP needs a package that is not installed: pip install 'madang[ldap]'" in made.stderr
    )
