"""Sign-in by a real directory: what can be wrong with it is told, and nobody is let in meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from madang.domain.errors import StartupError, Unavailable
from madang.services.identity.base import NotRecognised
from madang.services.identity.ldap import LdapSettings, LdapSource
from tests.conftest import open_directory
from tests.slapd import BASE, GROUPS, PEOPLE, READER, Directory, require_slapd

WORDS = "correct horse battery"


@pytest.fixture
def directory() -> Iterator[Directory]:
    require_slapd()
    home = open_directory()
    directory = Directory(home)
    try:
        directory.start()
        directory.fill()
        directory.add_person("minji", WORDS, cn="김민지")
        yield directory
    finally:
        directory.stop()
        shutil.rmtree(home, ignore_errors=True)


async def test_a_directory_that_is_away_is_told_and_back_again_works(directory: Directory) -> None:
    source = directory.source()
    directory.stop()
    with pytest.raises(Unavailable, match=r"'lab' \(ldap://127.0.0.1:\d+\) does not answer: .*refused"):
        await source.check("minji", WORDS)
    directory.start()
    assert (await source.check("minji", WORDS)).full_name == "김민지"


@pytest.mark.parametrize("secure", [False, True])
async def test_a_directory_that_hangs_is_not_waited_for_long(directory: Directory, secure: bool) -> None:
    source = directory.source(url=directory.secure_url if secure else directory.url)
    directory.pause()
    before = time.monotonic()
    try:
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable, match="does not answer"):
                await source.check("minji", WORDS)
    finally:
        directory.resume()
    assert time.monotonic() - before < 15


@pytest.mark.parametrize(
    "changes",
    [
        {"bind_password": "wrong"},
        {"bind_dn": f"cn=nobody,{BASE}"},
        {"bind_dn": "not a name"},
    ],
)
async def test_wrong_settings_of_our_own_account_are_no_fault_of_the_person(
    directory: Directory, changes: dict[str, str]
) -> None:
    source = directory.source(**changes)
    for password in (WORDS, "wrong"):
        with pytest.raises(Unavailable, match="refuses this server's own account") as caught:
            await source.check("minji", password)
        assert "administrator" in caught.value.message
        assert "wrong" not in caught.value.message


@pytest.mark.parametrize("changes", [{"user_base": f"ou=nowhere,{BASE}"}, {"bind_dn": "", "bind_password": ""}])
async def test_where_nobody_can_be_seen_nobody_is_there(directory: Directory, changes: dict[str, str]) -> None:
    with pytest.raises(NotRecognised) as caught:
        await directory.source(**changes).check("minji", WORDS)
    assert caught.value.reason == "no such user"


async def test_a_filter_that_is_none_is_told(directory: Directory) -> None:
    with pytest.raises(Unavailable, match="filter"):
        await directory.source(user_filter="(uid={name}").check("minji", WORDS)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_certificate_that_is_not_trusted_ends_it_before_a_password_is_sent(
    directory: Directory, secure: bool
) -> None:
    source = directory.source(url=directory.secure_url if secure else directory.url, ca_file=None)
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await source.check("minji", WORDS)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_certificate_of_another_machine_ends_it_too(directory: Directory, secure: bool) -> None:
    url = (directory.secure_url if secure else directory.url).replace("127.0.0.1", "localhost")
    with pytest.raises(Unavailable, match="Hostname mismatch"):
        await directory.source(url=url).check("minji", WORDS)


async def test_without_encryption_only_when_it_is_asked_for(directory: Directory) -> None:
    text = (directory.home / "slapd.conf").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("TLS")]
    (directory.home / "slapd.conf").write_text("\n".join(lines))
    directory.stop()
    directory.start()
    with pytest.raises(Unavailable, match="does not answer"):
        await directory.source().check("minji", WORDS)
    assert (await directory.source(plaintext=True).check("minji", WORDS)).name == "minji"


async def test_an_account_that_the_directory_locks_signs_nobody_in(directory: Directory) -> None:
    directory.change(f"uid=minji,{PEOPLE}", {"pwdAccountLockedTime": ["000001010000Z"]})
    with pytest.raises(NotRecognised) as caught:
        await directory.source().check("minji", WORDS)
    assert caught.value.reason == "wrong password", "the directory says no more to anybody"
    assert await directory.source(disabled_filter="(pwdAccountLockedTime=*)").look_up("minji") is None


async def test_an_account_without_a_password_signs_nobody_in(directory: Directory) -> None:
    directory.change(f"uid=minji,{PEOPLE}", {"userPassword": []})
    for password in (WORDS, ""):
        with pytest.raises(NotRecognised):
            await directory.source().check("minji", password)


async def test_people_sign_in_by_address_where_the_filter_says_so(directory: Directory) -> None:
    source = directory.source(user_filter="(|(uid={name})(mail={name}))")
    assert (await source.check("minji@lab.example", WORDS)).name == "minji"


async def test_groups_of_unix_are_found_too(directory: Directory) -> None:
    directory.add(f"cn=cluster,{GROUPS}", ["posixGroup"], {"gidNumber": 5000, "memberUid": ["minji", "other"]})
    assert (await directory.source().check("minji", WORDS)).groups == {"cluster"}


async def test_a_name_full_of_signs_stays_one_name(directory: Directory) -> None:
    odd = r"o\,dd (a*) #1"
    dn = f"uid={odd},{PEOPLE}"
    directory.add(dn, ["inetOrgPerson"], {"cn": "Odd", "sn": "Odd", "userPassword": WORDS})
    directory.set_groups(dn, ["staff"])
    for changes in ({}, {"group_base": ""}):
        found = await directory.source(**changes).check("o,dd (a*) #1", WORDS)
        assert (found.name, found.email) == ("o,dd (a*) #1", "")
        assert found.groups == {"staff"}


async def test_a_subject_is_there_where_the_directory_keeps_none(directory: Directory) -> None:
    found = await directory.source(subject_attribute="objectGUID").check("minji", WORDS)
    assert found.subject == f"uid=minji,{PEOPLE}"


async def test_the_password_of_our_account_is_in_no_message(directory: Directory) -> None:
    with pytest.raises(Unavailable) as caught:
        await directory.source(bind_password="a very secret one").check("minji", WORDS)
    assert READER in caught.value.message
    assert "a very secret one" not in caught.value.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://127.0.0.1"}, "no address of a directory"),
        ({"url": "ldap://"}, "no address of a directory"),
        ({"url": "ldaps://127.0.0.1", "plaintext": True}, "always encrypted"),
        ({"ca_file": "/nowhere/ca.pem"}, "cannot be read"),
    ],
)
def test_settings_that_make_no_sense_are_told_at_the_start(changes: dict[str, str], words: str) -> None:
    with pytest.raises(StartupError, match=words):
        LdapSource(LdapSettings(**{"name": "lab", "url": "ldap://127.0.0.1", "user_base": PEOPLE} | changes))  # type: ignore[arg-type]


def test_a_certificate_file_without_certificates_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(StartupError, match="cannot be read") as caught:
        LdapSource(LdapSettings("lab", "ldap://127.0.0.1", PEOPLE, ca_file=str(tmp_path / "ca.pem")))
    assert isinstance(caught.value.__cause__, ssl.SSLError)
