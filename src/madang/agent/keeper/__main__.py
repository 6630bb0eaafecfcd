"""Start of the keeper: `python -m madang.agent.keeper DIRECTORY`, detached from whoever starts it."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import socket
import sys

from madang.agent.keeper.linux import become_subreaper
from madang.agent.keeper.server import Keeper

SOCKET = "keeper.sock"
LOCK = "keeper.lock"


def main() -> int:
    """Serve DIRECTORY/keeper.sock; exit 3 when another keeper already does."""
    directory = sys.argv[1]
    os.chdir(directory)  # socket paths are limited to 107 bytes: use it relative
    os.umask(0o077)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 3
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)
    listener.bind(SOCKET)
    listener.listen(16)
    listener.setblocking(False)
    print("ready", flush=True)  # noqa: T201 - whoever started us waits for this line
    if os.fork():
        os._exit(0)  # whoever started us has nothing to wait for, now or at its own end
    become_subreaper()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    gc.freeze()
    Keeper(listener, os.path.join(directory, "containers")).run()
    os.unlink(SOCKET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
