"""What may be called what: names of sessions and environments, environment variables, paths, and this machine."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from madang.domain.errors import InvalidInput, UnsafePath

NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
"""Names become part of host names, so they are DNS labels of at most 40 characters."""

PATH_PATTERN: Final = r"^([a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?/)?[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
"""Of a project, with or without its domain before a slash."""

USER_PATTERN: Final = r"^[a-z0-9]([a-z0-9._@+-]{0,62}[a-z0-9])?$"
"""Of an account; an e-mail address in lower case is one, too."""

_NAME: Final = re.compile(NAME_PATTERN.removeprefix("^").removesuffix("$"))
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def check_name(name: str) -> str:
    """Returns `name`; raises InvalidInput unless it is a valid name."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"'{name[:60]}' is not a valid name: use 1 to 40 lower-case letters, digits and hyphens, "
            "beginning and ending with a letter or digit."
        )
    return name


def check_variables(variables: dict[str, str]) -> dict[str, str]:
    """Returns `variables`; raises InvalidInput when a name or a value cannot be an environment variable."""
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name):
            raise InvalidInput(f"'{name[:60]}' is not a name for an environment variable: use letters, digits and _.")
        if "\0" in value:
            raise InvalidInput(f"The value of {name} contains a NUL character.")
    return variables


def relative_path(path: str) -> tuple[str, ...]:
    """Split a path that has to stay beneath a directory into its parts; `""` and `.` give none.

    Raises UnsafePath for absolute paths, `..`, NUL, halves of characters, and parts longer than 255 bytes. This is the
    check of form; whoever opens the path still has to resolve it beneath a directory descriptor, because symbolic links
    are not seen here.
    """
    if "\0" in path:
        raise UnsafePath("The path contains a NUL character.")
    if path.startswith("/"):
        raise UnsafePath(f"'{path[:200]}' is absolute; write it relative to the work directory.")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise UnsafePath(f"'{path[:200]}' leaves the work directory through '..'.")
    try:
        sizes = [len(part.encode("utf-8", "surrogateescape")) for part in (path, *parts)]
    except UnicodeEncodeError:
        raise UnsafePath("The path contains half of a character, which no file system can hold.") from None
    if sizes[0] > 4096 or max(sizes[1:], default=0) > 255:
        raise UnsafePath("The path is longer than a file system allows (255 bytes a part, 4096 in all).")
    return parts


def link_stays(directory: tuple[str, ...], target: str) -> bool:
    """Whether a symbolic link in `directory` (real directories, from the root on) to `target` stays beneath the root.

    Only leading `..` count as staying: behind a name, which may be a link itself, `..` leads to who knows where. When
    all links obey this, no chain of them leaves.
    """
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = 0
    while ups < len(parts) and parts[ups] == "..":
        ups += 1
    return (
        bool(target)
        and not target.startswith("/")
        and "\0" not in target
        and ups <= len(directory)
        and (".." not in parts[ups:])
    )


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, can only mean this very machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
