"""The /etc of sandboxes: one directory made of a few harmless files of the host and our own, shared read-only by all.

It is one directory, not many mounts, because every mount costs each start of a session about a millisecond.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

INNER_ID: Final = 1000
"""User and group id inside a sandbox; named `work`."""

_FROM_HOST: Final = (
    "alternatives",
    "ca-certificates.conf",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
)
_OURS: Final = {
    "passwd": "root:x:0:0:root:/:/usr/sbin/nologin\n"
    f"work:x:{INNER_ID}:{INNER_ID}:work:/home/work:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "group": f"root:x:0:\ntty:x:5:\nwork:x:{INNER_ID}:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
_OTHERS_READ: Final = 0o004


def make_etc(parent: Path, nameserver: str) -> Path:
    """The directory for this host as it is now, made in `parent` when it is not there yet.

    Its name is the hash of what it holds, and an old one stays: sandboxes that run still see it.
    """
    building = parent / f"etc-building-{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o755, parents=True)
    building.chmod(0o755)
    for name in _FROM_HOST:
        _copy(Path("/etc") / name, building / name)
    for name, content in (_OURS | {"resolv.conf": f"nameserver {nameserver}\n" if nameserver else ""}).items():
        (building / name).write_text(content)
        (building / name).chmod(0o644)
    made = parent / f"etc-{_digest(building)}"
    if made.exists():
        shutil.rmtree(building)
    else:
        building.rename(made)
    return made


def _copy(source: Path, target: Path) -> None:
    """Copy a file, or a directory with its links as links; what others may not read is left out."""
    try:
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            for entry in source.iterdir():
                if entry.is_symlink():
                    (target / entry.name).symlink_to(entry.readlink())
                else:
                    _copy(entry, target / entry.name)
        elif source.is_file() and source.stat().st_mode & _OTHERS_READ:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o644)
    except PermissionError:  # not ours to read: then it is nothing for a sandbox either
        return


def _digest(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        digest.update(str(path.relative_to(directory)).encode() + b"\0")
        if path.is_symlink():
            digest.update(str(path.readlink()).encode())
        elif path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
