"""Accounts of a directory (LDAP): look the person up with an account of our own, then bind with their password."""

from __future__ import annotations

import re
import secrets
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urlsplit

from madang.domain.errors import StartupError, Unavailable
from madang.services.identity.base import Identity, NotRecognised
from madang.services.identity.threads import Threads

try:
    import ldap3
    from ldap3.core.exceptions import LDAPException
    from ldap3.core.results import RESULT_INVALID_CREDENTIALS, RESULT_NO_SUCH_OBJECT, RESULT_SUCCESS
    from ldap3.utils.conv import escape_filter_chars
    from ldap3.utils.dn import escape_rdn
except ImportError as error:  # an extra
    raise StartupError("Sign-in by LDAP needs a package that is not installed: pip install 'madang[ldap]'.") from error

_AT_ONCE: Final = 8
_NAME_AT_MOST: Final = 256
_DISABLED: Final = "This account is disabled in the directory. Ask those who keep the directory."
# What servers answer when a password is not even looked at: locked or expired accounts, and names with no password.
_REFUSALS: Final = frozenset({RESULT_INVALID_CREDENTIALS, 19, 48, 50, 53})

_FIRST_VALUE: Final = re.compile(rb"[^=]+=((?:\\.|[^,+\\])*)", re.DOTALL)
_HEXADECIMAL: Final = re.compile(r"([0-9a-f]{2})+")
_ESCAPED: Final = re.compile(rb"\\([0-9a-fA-F]{2}|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LdapSettings:
    """How a directory is reached and read.

    Attributes:
        name: what it is called here.
        url: `ldaps://host` or `ldap://host`, where TLS is started before anything is said, unless `plaintext`.
        ca_file: certificates to trust instead of the system's.
        bind_dn, bind_password: the account that looks people up; empty where everybody may.
        user_base: beneath which people are.
        user_filter: finds one person; `{name}` is what they typed, escaped.
        disabled_filter: what accounts match that may not sign in, e.g. `(nsAccountLock=TRUE)`, or for Active Directory
            `(userAccountControl:1.2.840.113556.1.4.803:=2)`. Accounts that the directory itself locks need none.
        subject_attribute: never changes and is never given to somebody else; `objectGUID` in Active Directory.
        group_base: beneath which groups are searched; empty: they are read from `member_of_attribute`.
        group_filter: finds the groups of somebody; `{dn}` and `{name}` are escaped.
        timeout_seconds: for connecting, and again for each answer.
    """

    name: str
    url: str
    user_base: str
    bind_dn: str = ""
    bind_password: str = field(default="", repr=False)
    plaintext: bool = False
    ca_file: str | None = None
    user_filter: str = "(&(objectClass=person)(uid={name}))"
    disabled_filter: str = ""
    subject_attribute: str = "entryUUID"
    name_attribute: str = "uid"
    email_attribute: str = "mail"
    full_name_attribute: str = "cn"
    group_base: str = ""
    group_filter: str = "(|(member={dn})(uniqueMember={dn})(memberUid={name}))"
    group_name_attribute: str = "cn"
    member_of_attribute: str = "memberOf"
    timeout_seconds: int = 5


@dataclass(frozen=True, slots=True)
class _Entry:
    dn: str
    attributes: Mapping[str, list[bytes]]

    def text(self, attribute: str) -> str:
        """The first value, or nothing; what is not text (an objectGUID) in hexadecimal."""
        values = self._values(attribute)
        if not values:
            return ""
        found = values[0].decode("utf-8", "replace")
        return found if found.isprintable() and "\ufffd" not in found else values[0].hex()

    def texts(self, attribute: str) -> list[str]:
        """All values."""
        return [value.decode("utf-8", "replace") for value in self._values(attribute)]

    def _values(self, attribute: str) -> list[bytes]:
        return next((found for name, found in self.attributes.items() if name.lower() == attribute.lower()), [])


class LdapSource:
    """A source of accounts; every check uses connections of its own, so no two people's answers can mix."""

    def __init__(self, settings: LdapSettings) -> None:
        """Raises StartupError when the settings make no sense."""
        self._settings = settings
        self._context = _context(settings)
        self._threads = Threads("ldap", _AT_ONCE)

    @property
    def name(self) -> str:
        return self._settings.name

    async def check(self, name: str, password: str) -> Identity:
        return await self._threads.run(lambda: self._check(name, password))

    async def look_up(self, name: str) -> Identity | None:
        return await self._threads.run(lambda: self._look_up(name))

    async def find(self, subject: str) -> Identity | None:
        return await self._threads.run(lambda: self._find(subject))

    async def close(self) -> None:
        self._threads.close()

    def _check(self, name: str, password: str) -> Identity:
        with _Session(self._settings, self._context) as session:
            found = session.people(name)
            # A bind without a password succeeds: it is one of nobody (RFC 4513, 5.1.2).
            usable = bool(password) and "\0" not in password and _is_text(password)
            if len(found) != 1 or not usable:
                # As much work as for somebody who is there.
                nobody = f"uid={escape_rdn(secrets.token_hex(8))},{self._settings.user_base}"
                self._binds(nobody, secrets.token_hex(8))
                raise NotRecognised(
                    "wrong password" if len(found) == 1 else "more than one user" if found else "no such user"
                )
            if not self._binds(found[0].dn, password):
                raise NotRecognised("wrong password")
            if session.is_disabled(found[0]):
                raise NotRecognised("disabled", _DISABLED)  # whoever knows the password may know that
            return session.identity(found[0])

    def _look_up(self, name: str) -> Identity | None:
        with _Session(self._settings, self._context) as session:
            found = session.people(name)
            if len(found) != 1 or session.is_disabled(found[0]):
                return None
            return session.identity(found[0])

    def _find(self, subject: str) -> Identity | None:
        with _Session(self._settings, self._context) as session:
            for entry in session.of_subject(subject):
                found = session.identity(entry)
                if found.subject == subject and not session.is_disabled(entry):
                    return found
        return None

    def _binds(self, dn: str, password: str) -> bool:
        with _Session(self._settings, self._context, (dn, password)) as session:
            return session.bound


class _Session:
    """A connection that is bound, as the service account or as somebody; closed at the end."""

    def __init__(self, settings: LdapSettings, context: ssl.SSLContext, person: tuple[str, str] | None = None) -> None:
        self._settings = settings
        user, password = person or (settings.bind_dn, settings.bind_password)
        self._service = person is None
        self._connection = ldap3.Connection(
            _server(settings, context),
            user=user or None,
            password=password or None,
            authentication=ldap3.SIMPLE if user else ldap3.ANONYMOUS,
            client_strategy=ldap3.SYNC,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,
            check_names=False,
            read_only=True,
            raise_exceptions=False,
            receive_timeout=settings.timeout_seconds,
        )
        self.bound = False

    def __enter__(self) -> _Session:
        try:
            self._connection.open()
            if not self._settings.plaintext and not self._settings.url.startswith("ldaps:"):
                self._connection.start_tls()
            self._connection.bind()
        except (LDAPException, OSError, ValueError) as error:
            self.__exit__()
            raise self._away(error) from error
        code = self._code()
        self.bound = code == RESULT_SUCCESS
        if not self.bound and (self._service or code not in _REFUSALS):
            self.__exit__()
            raise self._refused()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(LDAPException, OSError):
            self._connection.unbind()

    def people(self, name: str) -> list[_Entry]:
        """Those whom a typed name means: none, one, or two of too many."""
        if not name.strip() or len(name) > _NAME_AT_MOST or not _is_text(name):
            return []
        query = self._settings.user_filter.replace("{name}", escape_filter_chars(name))
        return self._search(self._settings.user_base, query, self._about(), limit=2)

    def of_subject(self, subject: str) -> list[_Entry]:
        """Those among the people who may be meant by a subject that `identity` once gave."""
        settings = self._settings
        anybody = settings.user_filter.replace("{name}", "*")
        values = [escape_filter_chars(subject)]
        if _HEXADECIMAL.fullmatch(subject):
            values.append("".join(f"\\{subject[at : at + 2]}" for at in range(0, len(subject), 2)))
        query = "".join(f"({settings.subject_attribute}={value})" for value in values)
        found = self._search(settings.user_base, f"(&{anybody}(|{query}))", self._about(), limit=2)
        if not found and subject.endswith(settings.user_base.lower()):
            found = self._search(subject, anybody, self._about(), scope=ldap3.BASE)
        return found

    def _about(self) -> tuple[str, ...]:
        """What is read of people."""
        settings = self._settings
        wanted = (settings.subject_attribute, settings.name_attribute, settings.email_attribute)
        return (*wanted, settings.full_name_attribute, settings.member_of_attribute)

    def is_disabled(self, entry: _Entry) -> bool:
        """Whether an account matches the filter of those that may not sign in."""
        if not self._settings.disabled_filter:
            return False
        return bool(self._search(entry.dn, self._settings.disabled_filter, ("1.1",), scope=ldap3.BASE))

    def identity(self, entry: _Entry) -> Identity:
        """Who somebody is, with the groups of this moment."""
        settings = self._settings
        email = entry.text(settings.email_attribute)
        return Identity(
            source=settings.name,
            subject=entry.text(settings.subject_attribute) or entry.dn.lower(),
            name=entry.text(settings.name_attribute),
            email=email,
            full_name=entry.text(settings.full_name_attribute),
            groups=frozenset(self._groups(entry)),
            email_verified=bool(email),  # those who keep the directory vouch for what is in it
        )

    def _groups(self, entry: _Entry) -> list[str]:
        settings = self._settings
        if not settings.group_base:
            return [_first_value(dn) for dn in entry.texts(settings.member_of_attribute)]
        query = settings.group_filter.replace("{dn}", escape_filter_chars(entry.dn))
        query = query.replace("{name}", escape_filter_chars(entry.text(settings.name_attribute)))
        found = self._search(settings.group_base, query, (settings.group_name_attribute,))
        return [name for one in found if (name := one.text(settings.group_name_attribute))]

    def _search(
        self, base: str, query: str, attributes: tuple[str, ...], *, scope: str = ldap3.SUBTREE, limit: int = 0
    ) -> list[_Entry]:
        connection = self._connection
        try:
            connection.search(
                base,
                query,
                search_scope=cast("Any", scope),
                attributes=list(attributes),
                size_limit=limit,
                time_limit=self._settings.timeout_seconds,
            )
        except (LDAPException, OSError) as error:
            raise self._away(error) from error
        if self._code() not in (RESULT_SUCCESS, RESULT_NO_SUCH_OBJECT, 4):  # 4: there are more than asked for
            raise self._refused()
        answers = cast("list[dict[str, Any]]", connection.response or [])
        return [
            _Entry(answer["dn"], answer["raw_attributes"]) for answer in answers if answer["type"] == "searchResEntry"
        ]

    def _code(self) -> int:
        return int(cast("dict[str, Any]", self._connection.result or {"result": -1})["result"])

    def _away(self, error: Exception) -> Unavailable:
        detail = str(error)[:200] or type(error).__name__
        return Unavailable(
            f"The directory '{self._settings.name}' ({self._settings.url}) does not answer: {detail}. Try again later; "
            "an administrator can check the network, the certificate and the address."
        )

    def _refused(self) -> Unavailable:
        said = cast("dict[str, Any]", self._connection.result or {})
        detail = " ".join(str(said.get(part) or "") for part in ("description", "message")).strip()[:200]
        who = f"this server's own account ({self._settings.bind_dn or 'anonymous'})" if self._service else "a sign-in"
        return Unavailable(
            f"The directory '{self._settings.name}' ({self._settings.url}) refuses {who}: {detail}. An administrator "
            "has to correct the settings of the directory."
        )


class _Tls(ldap3.Tls):
    """TLS by Python's own rules: ldap3 compares names with code of 2013."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=connection.server.host)


def _context(settings: LdapSettings) -> ssl.SSLContext:
    """Raises StartupError when the settings make no sense."""
    parts = urlsplit(settings.url)
    if parts.scheme not in ("ldap", "ldaps") or not parts.hostname:
        raise StartupError(f"'{settings.url}' is no address of a directory; write ldaps://host or ldap://host:port.")
    if settings.plaintext and parts.scheme == "ldaps":
        raise StartupError(f"{settings.url} is always encrypted; leave out `plaintext`.")
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(f"The certificates in {settings.ca_file} cannot be read: {error}.") from error


def _server(settings: LdapSettings, context: ssl.SSLContext) -> ldap3.Server:
    """Made anew for each connection: it would remember for minutes that an address did not answer."""
    parts = urlsplit(settings.url)
    return ldap3.Server(
        str(parts.hostname),
        port=parts.port or (636 if parts.scheme == "ldaps" else 389),
        use_ssl=parts.scheme == "ldaps",
        tls=_Tls(context),
        get_info=ldap3.NONE,
        connect_timeout=settings.timeout_seconds,
    )


def _first_value(dn: str) -> str:
    """`staff` of `cn=staff,ou=groups,dc=lab`, whatever is escaped in it."""
    found = _FIRST_VALUE.match(dn.encode())
    if found is None:
        return dn
    value = _ESCAPED.sub(lambda one: bytes.fromhex(one[1].decode()) if len(one[1]) == 2 else one[1], found[1])
    return value.decode("utf-8", "replace")


def _is_text(text: str) -> bool:
    with suppress(UnicodeEncodeError):
        text.encode()
        return True
    return False
