"""Several servers as named profiles, in one file that only its owner can read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from madang.domain.errors import InvalidInput
from madang.schemas.base import Wire
from madang.sdk.connection import LOCAL, Connection
from madang.sdk.errors import NoServer

_FILE: Final = "profiles.json"
_NAME_AT_MOST: Final = 60


class Profiles(Wire):
    """The servers that somebody has signed in to, and the one that is used where nothing is said."""

    default: str | None = None
    profiles: dict[str, Connection] = {}

    def get(self, name: str) -> Connection:
        """Raises NoServer."""
        if name not in self.profiles:
            known = ", ".join(sorted(self.profiles)) or "none"
            raise NoServer(f"There is no profile '{name}'. Those there are: {known}. `madang login URL` makes one.")
        return self.profiles[name]

    def having(self, name: str, connection: Connection) -> Profiles:
        """With one more, or another one of this name; it is the default from now on. Raises InvalidInput."""
        if name == LOCAL or not 0 < len(name) <= _NAME_AT_MOST or not name.isprintable() or " " in name:
            raise InvalidInput(
                f"'{name}' cannot be the name of a profile: it has 1 to {_NAME_AT_MOST} characters without spaces, and "
                f"'{LOCAL}' is this machine's own server."
            )
        return Profiles(default=name, profiles={**self.profiles, name: connection})

    def without(self, name: str) -> Profiles:
        """Raises NoServer."""
        self.get(name)
        left = {one: connection for one, connection in self.profiles.items() if one != name}
        return Profiles(default=None if self.default == name else self.default, profiles=left)

    def using(self, name: str) -> Profiles:
        """With another default; `local` is this machine's own server. Raises NoServer."""
        if name != LOCAL:
            self.get(name)
        return Profiles(default=None if name == LOCAL else name, profiles=self.profiles)


def profiles_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where they are kept: `~/.config/madang/profiles.json`, or beneath XDG_CONFIG_HOME."""
    home = environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "madang" / _FILE


def read_profiles() -> Profiles:
    """Those that are kept. Raises NoServer when the file is damaged, or others can read it."""
    path = profiles_file()
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise NoServer(
                    f"Other users of this machine can read the tokens in {path}. Run: chmod 600 {path}, and take those "
                    "tokens back with `madang token rm`."
                )
            return Profiles.model_validate_json(file.read())
    except FileNotFoundError:
        return Profiles()
    except NotADirectoryError:
        return Profiles()
    except PermissionError:
        raise NoServer(f"{path} cannot be read: it belongs to another user.") from None
    except ValidationError:
        raise NoServer(f"{path} is damaged. Delete it, and sign in again with `madang login`.") from None


def change_profiles(change: Callable[[Profiles], Profiles]) -> Profiles:
    """Replace the file in one step by what `change` makes of it; changes at the same time wait for one another."""
    path = profiles_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(path):
        changed = change(read_profiles())
        partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(changed.model_dump_json(indent=2, exclude_defaults=True).encode())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return changed


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
