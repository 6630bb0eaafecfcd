"""Signing in to servers, profiles, signing keys and tokens of projects, over a whole platform."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from madang.domain.errors import Unauthorized
from madang.sdk import Client, Connection
from tests.integration.cli.conftest import MADANG, Up


def _connection(up: Up) -> dict[str, str]:
    found: dict[str, str] = json.loads((up.data_dir / "connection.json").read_text())
    return found


def _with(up: Up, variables: dict[str, str], *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environ = {**up.environ, **variables}
    return subprocess.run([*MADANG, *arguments], env=environ, input=stdin, capture_output=True, timeout=60, check=False)


def test_a_token_becomes_a_profile_that_is_used_and_given_back(up: Up) -> None:
    url = _connection(up)["url"]
    made = json.loads(up.run("token", "add", "laptop", "--json").stdout)
    wrong = up.run("login", url, "--token", "--profile", "lab", stdin=b"mdg_" + b"x" * 43)
    assert wrong.returncode == 1
    assert json.loads(up.run("profile", "ls", "--json").stdout)["profiles"] == {}
    done = up.run("login", url, "--token", "--profile", "lab", stdin=made["token"].encode() + b"\n")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(up.run("profile", "ls", "--json").stdout) == {"default": "lab", "profiles": {"lab": url}}
    who = up.run("whoami").stdout.decode()
    assert url in who
    assert "lab" in who
    assert b"lab" not in up.run("--profile", "local", "whoami").stdout
    assert up.run("--profile", "nope", "whoami").returncode == 1
    assert up.run("logout").stdout == b"lab\n"
    with Client(url, made["token"]) as client, pytest.raises(Unauthorized):
        client.me()
    assert b"not signed in by a profile" in up.run("logout").stderr


def test_a_password_signs_in(up: Up) -> None:
    url = _connection(up)["url"]
    up.run("user", "add", "han")
    first = json.loads(up.run("user", "password", "han", "--json").stdout)["password"]
    variables = {"MADANG_PASSWORD": first, "MADANG_NEW_PASSWORD": "a wholly new phrase 7"}
    done = _with(up, variables, "login", url, "--user", "han", "--profile", "han")
    assert done.returncode == 0, done.stderr.decode()
    assert b"han" in up.run("whoami").stdout
    refused = _with(up, {"MADANG_PASSWORD": "wrong"}, "login", url, "--user", "han", "--profile", "other")
    assert refused.returncode == 1
    up.run("logout")
    up.run("user", "rm", "han")


def test_a_machine_with_a_key_signs_everything_that_it_sends(up: Up, tmp_path: Path) -> None:
    url = _connection(up)["url"]
    made = json.loads(up.run("key", "add", "ci", "--json").stdout)
    key = {"MADANG_URL": url, "MADANG_KEY": made["id"], "MADANG_SECRET": made["secret"]}
    (tmp_path / "data.bin").write_bytes(os.urandom(3 << 20))
    command = ("run", "--env", "bare", "--network", "none", "--dir", str(tmp_path), "--", "wc", "-c", "data.bin")
    done = _with(up, key, *command)
    assert done.stdout.split() == [b"3145728", b"data.bin"], done.stderr.decode()
    asked = ("session", "create", "--env", "bare", "--network", "none", "--name", "signed", "--", "sleep", "60")
    assert _with(up, key, *asked).returncode == 0
    with Client(connection=Connection(url=url, key=made["id"], secret=made["secret"])) as client:
        list(client.events(follow=False))
    entered = _with(up, key, "session", "exec", "signed", "--", "echo", "in")
    assert entered.stdout == b"in\n", entered.stderr.decode()
    assert made["id"].encode() in up.run("key", "ls").stdout
    assert up.run("key", "rm", made["id"]).returncode == 0
    assert b"not in force" in _with(up, key, "whoami").stderr
    up.run("session", "rm", "--force", "signed")


def test_a_token_of_a_project_works_there(up: Up) -> None:
    url = _connection(up)["url"]
    up.run("project", "add", "nightly")
    made = json.loads(up.run("token", "add", "ci", "--project", "nightly", "--role", "member", "--json").stdout)
    robot = {"MADANG_URL": url, "MADANG_TOKEN": made["token"]}
    assert b"nightly (member)" in _with(up, robot, "whoami").stdout
    assert made["user"].encode() in up.run("token", "ls", "--project", "nightly").stdout
    assert up.run("token", "rm", made["id"], "--project", "nightly").returncode == 0
    assert _with(up, robot, "whoami").returncode == 1
    assert up.run("token", "add", "x", "--role", "member").returncode == 2
    assert up.run("project", "rm", "nightly").returncode == 0
