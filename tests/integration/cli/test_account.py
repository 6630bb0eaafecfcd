"""One's own account and the passwords of others, from the command line over a whole platform."""

from __future__ import annotations

import json

from tests.integration.cli.conftest import Up


def test_a_password_is_set_by_a_link_shown_and_changed(up: Up) -> None:
    link = up.run("user", "password", "admin", "--link").stdout.decode().strip()
    used = up.run("account", "link", link, stdin=b"correct horse battery\n")
    assert used.returncode == 0, used.stderr.decode()
    assert up.run("account", "link", link, stdin=b"staple of wide rivers\n").returncode == 1
    shown = json.loads(up.run("account", "show", "--json").stdout)
    assert (shown["password"], shown["second_factor"]) == (True, False)
    wrong = up.run("account", "password", stdin=b"no idea at all\nstaple of wide rivers\n")
    assert (wrong.returncode, b"not your password" in wrong.stderr) == (2, True)
    changed = up.run("account", "password", stdin=b"correct horse battery\nstaple of wide rivers\n")
    assert changed.returncode == 0, changed.stderr.decode()


def test_a_first_password_is_printed_once_for_somebody(up: Up) -> None:
    up.run("user", "add", "kim")
    given = up.run("user", "password", "kim")
    assert given.stdout.count(b"-") == 2
    assert b"shown this once" in given.stderr
    assert up.run("user", "no-second-factor", "kim").returncode == 1
    assert up.run("user", "password", "nobody").returncode == 1
