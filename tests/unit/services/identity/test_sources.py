"""Reading `sign-in.toml`: what is set up, and how mistakes in it are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from madang.domain.errors import StartupError
from madang.domain.ids import SystemClock
from madang.domain.people import ProjectRole
from madang.services.identity.base import GroupRule
from madang.services.identity.sources import Sources

LDAP = '[[ldap]]\nname = "lab"\nurl = "ldaps://ldap.lab.example"\nuser_base = "ou=people,dc=lab"\n'
OIDC = '[[oidc]]\nname = "cloud"\nissuer = "https://id.example"\nclient_id = "madang"\n'


def opened(tmp_path: Path, text: str, mode: int = 0o600) -> Sources:
    file = tmp_path / "sign-in.toml"
    file.write_text(text)
    file.chmod(mode)
    return Sources.open(file, SystemClock())


def test_without_the_file_there_are_none(tmp_path: Path) -> None:
    found = Sources.open(tmp_path / "sign-in.toml", SystemClock())
    assert (found.passwords, found.openid, found.rules, found.ways()) == ([], {}, {}, [])


async def test_tables_become_sources_and_rules(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("words\n")
    (tmp_path / "secret").chmod(0o600)
    group = '[[oidc.groups]]\ngroup = "gpu"\nproject = "snu/vision"\nrole = "owner"\n'
    more = f'title = "Cloud"\ncreate = false\ndomain = "snu"\nclient_secret_file = "{tmp_path / "secret"}"\n'
    found = opened(tmp_path, f"{LDAP}\n{OIDC}{more}{group}", 0o644)
    assert [source.name for source in found.passwords] == ["lab"]
    assert list(found.openid) == ["cloud"]
    rules = found.rules["cloud"]
    assert (rules.title, rules.create, rules.domain, rules.device) == ("Cloud", False, "snu", True)
    assert rules.groups == (GroupRule("gpu", "snu/vision", ProjectRole.OWNER),)
    assert [(one.name, one.title, one.kind) for one in found.ways()] == [
        ("lab", "lab", "ldap"),
        ("cloud", "Cloud", "oidc"),
    ]
    await found.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[ldap]", r"sign-in\.toml is no TOML: .*line 1"),
        ("[[saml]]\n", r"'saml' has no meaning there"),
        ("ldap = 3\n", r"'ldap' has no meaning there"),
        ("[ldap]\n", r"'ldap' has no meaning there"),
        (LDAP.replace('name = "lab"\n', ""), r"\[\[ldap\]\] number 1: name: Field required"),
        (LDAP.replace("url", "uri"), r"\[\[ldap\]\] number 1: uri: there is no such field"),
        (OIDC.replace('client_id = "madang"\n', ""), r"\[\[oidc\]\] number 1: client_id is missing"),
        (LDAP + "timeout_seconds = 'soon'\n", r"number 1: timeout_seconds: "),
        (LDAP + "[[ldap.groups]]\ngroup = 'a'\nproject = 'b'\nrole = 'king'\n", r"number 1: groups\.1\.role: "),
        (LDAP + "[[ldap.groups]]\ngroup = 'a'\n", r"groups\.1\.project: Field required"),
        (LDAP + LDAP, r"\[\[ldap\]\] number 2: name: 'lab' is taken"),
        (LDAP.replace("lab", "password", 1), "'password' is taken"),
        (LDAP.replace("ldaps:", "http:"), r"\[\[ldap\]\] number 1: .*no address of a directory"),
        (OIDC.replace("https:", "http:"), r"\[\[oidc\]\] number 1: .*begin with https"),
        (OIDC + "client_secret = 'a'\nclient_secret_file = 'b'\n", "not both"),
        (OIDC + "client_secret_file = '/nowhere/secret'\n", r"client_secret_file: /nowhere/secret cannot be read"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(StartupError, match=words) as caught:
        opened(tmp_path, text)
    assert "sign-in.toml" in caught.value.message


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"chmod 600 .*sign-in\.toml"):
        opened(tmp_path, OIDC + 'client_secret = "words"\n', 0o644)
    secret = tmp_path / "secret"
    secret.write_text("words")
    secret.chmod(0o640)
    with pytest.raises(StartupError, match=r"chmod 600 .*secret") as caught:
        opened(tmp_path, f'{OIDC}client_secret_file = "{secret}"\n')
    assert "words" not in caught.value.message
