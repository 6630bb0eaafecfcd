"""Domains, projects, users and sharing from the command line and from Python, over a whole platform."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from madang.sdk import Client
from tests.integration.cli.conftest import Up


def _json(up: Up, *arguments: str) -> Any:
    done = up.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_team_of_two_domains_is_set_up_by_commands(up: Up) -> None:
    assert _json(up, "domain", "add", "snu", "--title", "Seoul National")["projects"] == 1
    assert _json(up, "user", "add", "cho", "--domain", "snu", "--full-name", "Cho")["projects"][0]["project"] == (
        "snu/default"
    )
    up.run("user", "add", "kim")
    assert _json(up, "project", "add", "vision", "--owner", "kim")["project"] == "vision"
    assert up.run("project", "member", "add", "vision", "cho", "--until", "+30d").stdout == b"cho member\n"
    people = {one["user"]: one["role"] for one in _json(up, "project", "member", "ls", "vision")}
    assert people == {"cho": "member", "kim": "owner"}
    assert b"USER" in up.run("project", "member", "ls", "vision").stdout
    refused = up.run("project", "member", "rm", "vision", "kim")
    assert refused.returncode == 1
    assert b"no owner any more" in refused.stderr
    up.run("user", "set", "cho", "--inactive")
    assert not _json(up, "user", "show", "cho")["active"]
    assert up.run("user", "rm", "cho").stdout == b"cho\n"
    assert {"admin", "kim"} <= {one["name"] for one in _json(up, "user", "ls")}
    assert up.run("domain", "rm", "snu").returncode == 0
    assert b"default (owner)" in up.run("whoami").stdout


def test_a_session_of_a_project_is_shared_and_no_more(up: Up) -> None:
    up.run("user", "add", "han")
    up.run("project", "add", "speech")
    asked = ("--env", "bare", "--network", "none", "--project", "speech", "--name", "shared", "--", "sleep", "60")
    assert up.run("session", "create", *asked).returncode == 0
    assert [one["name"] for one in _json(up, "session", "ls", "--project", "speech")] == ["shared"]
    [share] = _json(up, "session", "share", "shared", "--user", "han", "--level", "use")
    assert (share["user"], share["level"]) == ("han", "use")
    up.run("session", "unshare", "shared", "--user", "han")
    assert _json(up, "session", "share", "shared") == []
    up.run("session", "rm", "--force", "shared")


def test_python_programs_do_the_same(up: Up) -> None:
    connection = json.loads((up.data_dir / "connection.json").read_text())
    with Client(connection["url"], connection["token"]) as client:
        client.domains.create("kaist")
        client.users.create("ryu", domain="kaist", role="domain_admin")
        assert client.projects.create("kaist/robots", owner="ryu").domain == "kaist"
        assert [one.user for one in client.projects.members("kaist/robots")] == ["ryu"]
        assert [one.name for one in client.users.list("kaist")] == ["ryu"]
        assert client.projects.update("kaist/robots", title="Robots").title == "Robots"
        client.projects.delete("kaist/robots")
        client.users.delete("ryu")
        client.domains.delete("kaist")


def test_people_are_invited_by_link_and_tables_imported(up: Up, tmp_path: Path) -> None:
    up.run("project", "add", "open-lab")
    done = up.run("project", "invite", "open-lab", "--role", "viewer", "--expires", "+3d", "--uses", "2")
    link = done.stdout.decode().strip()
    assert "/invitation#mdl_" in link
    assert b"not shown again" in done.stderr
    [listed] = _json(up, "project", "invitations", "open-lab")
    assert (listed["role"], listed["most_uses"]) == ("viewer", 2)
    assert up.run("join", link).stdout == b"open-lab owner\n"
    assert up.run("project", "uninvite", "open-lab", listed["id"]).returncode == 0
    over = up.run("join", link)
    assert over.returncode == 1
    assert b"taken back" in over.stderr
    table = tmp_path / "class.csv"
    table.write_text(
        "계정,이름,이메일,프로젝트,초대\nml-1,김민수,,open-lab,\nml-2,,b@example.org,open-lab,예\nml-3,,,nope,\n"
    )
    kept = tmp_path / "passwords.csv"
    wrong = up.run("user", "import", str(table), "--make-up", "--output", str(kept))
    assert (wrong.returncode, kept.exists()) == (2, False)
    assert b"line 4, project: There is no project" in wrong.stderr
    table.write_text(table.read_text().replace("nope", "open-lab"))
    assert b"would be imported" in up.run("user", "import", str(table), "--make-up", "--dry-run").stderr
    assert up.run("user", "import", str(table), "--make-up", "--output", str(kept)).returncode == 0
    assert kept.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(kept.read_text(encoding="utf-8-sig").splitlines()))
    assert [bool(row["password"]) for row in rows] == [True, False, True]
    assert "/set-password#mdl_" in rows[1]["link"]
    assert {"ml-1", "ml-2", "ml-3"} <= {one["name"] for one in _json(up, "user", "ls")}


def test_an_account_is_linked_to_nobody_of_a_system_that_is_not_set_up(up: Up) -> None:
    up.run("user", "add", "linked")
    refused = up.run("user", "link", "linked", "lab", "7f2c9a1e")
    assert refused.returncode == 2
    assert b"no source 'lab' in sign-in.toml" in refused.stderr
    assert _json(up, "user", "unlink", "linked")["source"] == ""
