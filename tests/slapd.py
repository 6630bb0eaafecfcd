"""A real directory server (slapd) with some people and groups, as whoever runs the tests."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ldap3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ldap3.utils.conv import escape_filter_chars

from madang.services.identity.ldap import LdapSettings, LdapSource

UNPACKED = Path(__file__).parents[1] / "build/slapd"
BASE = "dc=lab,dc=example"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
READER = f"cn=reader,{BASE}"
READER_PASSWORD = "reads the directory"
_ADMIN = f"cn=admin,{BASE}"
_ADMIN_PASSWORD = "writes the directory"

_CONFIGURATION = """
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
include {schema}/nis.schema
modulepath {modules}
moduleload back_mdb
moduleload memberof
moduleload ppolicy
pidfile {home}/slapd.pid
argsfile {home}/slapd.args
TLSCertificateFile {home}/server.pem
TLSCertificateKeyFile {home}/server.key
database mdb
maxsize 16777216
suffix {base}
rootdn {admin}
rootpw {admin_password}
directory {home}/data
overlay memberof
overlay ppolicy
ppolicy_default cn=policy,{base}
access to attrs=userPassword by anonymous auth by * none
access to dn.exact={base} attrs=entry,children by * read
access to * by dn.exact={reader} read by * none
"""


class Directory:
    """A running slapd. Whatever is changed in it is there for the tests that follow, so use names of your own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        unpacked = not Path("/usr/sbin/slapd").exists()
        root = UNPACKED if unpacked else Path("/")
        self._program = root / "usr/sbin/slapd"
        libraries = [str(path.parent) for path in UNPACKED.glob("**/libltdl.so.7")] if unpacked else []
        libraries += [str(path.parent) for path in UNPACKED.glob("**/libslapi*.so.0")] if unpacked else []
        self._environment = {"LD_LIBRARY_PATH": ":".join(libraries), "PATH": os.environ["PATH"]}
        (home / "data").mkdir()
        _certificate(home)
        (home / "slapd.conf").write_text(
            _CONFIGURATION.format(
                schema=root / "etc/ldap/schema",
                modules=root / "usr/lib/ldap",
                home=home,
                base=BASE,
                admin=_ADMIN,
                admin_password=f'"{_ADMIN_PASSWORD}"',
                reader=READER,
            )
        )

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.ports[0]}"

    @property
    def secure_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.ports[1]}"

    def start(self) -> None:
        """Returns when it answers."""
        command = [str(self._program), "-f", str(self.home / "slapd.conf"), "-h", f"{self.url}/ {self.secure_url}/"]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, "-d", "0"], env=self._environment, stdout=log, stderr=log)
        for _ in range(500):
            assert self._process.poll() is None, (self.home / "log").read_text(errors="replace")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.ports[0])) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("slapd does not answer")

    def stop(self) -> None:
        """End it as an administrator would."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def pause(self) -> None:
        """Have it accept connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(19)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(18)

    def add(self, dn: str, classes: Sequence[str], attributes: Mapping[str, Any]) -> None:
        """Write an entry."""
        with self._admin() as connection:
            assert connection.add(dn, list(classes), dict(attributes)), connection.result

    def change(self, dn: str, attributes: Mapping[str, list[Any]]) -> None:
        """Replace attributes of an entry; none deletes."""
        changes = {name: [(ldap3.MODIFY_REPLACE, values)] for name, values in attributes.items()}
        with self._admin() as connection:
            assert connection.modify(dn, changes), connection.result

    def remove(self, dn: str) -> None:
        with self._admin() as connection:
            assert connection.delete(dn), connection.result

    def rename(self, dn: str, rdn: str) -> None:
        with self._admin() as connection:
            assert connection.modify_dn(dn, rdn), connection.result

    def fill(self) -> None:
        """The people that the tests know."""
        self.add(BASE, ["domain"], {"dc": "lab"})
        for dn in (PEOPLE, GROUPS):
            self.add(dn, ["organizationalUnit"], {"ou": dn.partition("=")[2].partition(",")[0]})
        policy = {"pwdAttribute": "userPassword", "cn": "policy", "sn": "policy", "pwdLockout": "TRUE"}
        self.add(f"cn=policy,{BASE}", ["person", "pwdPolicy"], policy)
        self.add(READER, ["person"], {"sn": "reader", "userPassword": READER_PASSWORD})

    def add_person(self, name: str, password: str, *, unit: str = "", **attributes: Any) -> str:
        """Returns the name by which the directory knows the person."""
        dn = f"uid={name},{unit}{PEOPLE}"
        values = {"cn": name, "sn": name, "userPassword": password, "mail": f"{name}@lab.example", **attributes}
        self.add(dn, ["inetOrgPerson"], values)
        return dn

    def set_groups(self, person: str, groups: Sequence[str]) -> None:
        """Have somebody in these groups and no others; groups are made when missing."""
        with self._admin() as connection:
            connection.search(GROUPS, f"(member={escape_filter_chars(person)})", attributes=["1.1"])
            for entry in list(connection.entries):
                connection.modify(entry.entry_dn, {"member": [(ldap3.MODIFY_DELETE, [person])]})
            for group in groups:
                dn = f"cn={group},{GROUPS}"
                if not connection.modify(dn, {"member": [(ldap3.MODIFY_ADD, [person])]}):
                    # A group of this class is never empty.
                    assert connection.add(dn, ["groupOfNames"], {"member": [_ADMIN, person]}), connection.result

    def settings(self, **changes: Any) -> LdapSettings:
        values: dict[str, Any] = {
            "name": "lab",
            "url": self.url,
            "user_base": PEOPLE,
            "bind_dn": READER,
            "bind_password": READER_PASSWORD,
            "ca_file": str(self.home / "server.pem"),
            "disabled_filter": "(employeeType=disabled)",
            "group_base": GROUPS,
            "timeout_seconds": 2,
        }
        return LdapSettings(**(values | changes))

    def source(self, **changes: Any) -> LdapSource:
        return LdapSource(self.settings(**changes))

    def _admin(self) -> Any:
        return ldap3.Connection(ldap3.Server(self.url), _ADMIN, _ADMIN_PASSWORD, auto_bind=ldap3.AUTO_BIND_NO_TLS)


def require_slapd() -> None:
    """Skip the test where there is no slapd."""
    if not shutil.which("/usr/sbin/slapd") and not shutil.which(UNPACKED / "usr/sbin/slapd"):
        pytest.skip("there is no slapd on this machine; `make test` fetches it where it can")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _certificate(home: Path) -> None:
    """A certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "directory")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    (home / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (home / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
