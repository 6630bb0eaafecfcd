"""Prices, budgets, costs and how long the audit is kept, from the command line and from Python."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from madang.schemas.money import Budget
from madang.sdk import Client
from tests.integration.cli.conftest import Up


def _json(up: Up, *arguments: str) -> Any:
    done = up.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_prices_are_set_one_by_one_and_reports_say_what_it_costs(up: Up) -> None:
    table = _json(up, "price", "set", "cpu=3600", "mem=2", "cuda.device=900", "--currency", "KRW", "--digits", "0")
    assert table["slots"] == {"cpu": "3600", "cuda.shares": "900", "mem": "2"}
    table = _json(up, "price", "set", "cuda.device=none", "model.A100=2500")
    assert (table["slots"], table["models"]) == ({"cpu": "3600", "mem": "2"}, {"A100": "2500"})
    assert b"3600" in up.run("price", "ls").stdout
    assert up.run("price", "set", "cpu").returncode == 2
    asked = ("--env", "bare", "--network", "none", "--name", "paid", "--", "sleep", "1")
    assert up.run("run", *asked).returncode == 0
    report = _json(up, "usage", "--by", "project")
    assert report["currency"] == "KRW"
    assert int(report["cost"]) >= 1
    rows = list(csv.DictReader(io.StringIO(up.run("usage", "--csv").stdout.decode())))
    assert [(one["currency"], int(one["cost"]) >= 1) for one in rows] == [("KRW", True)]


def test_a_project_has_a_budget_and_shows_what_it_has_spent(up: Up) -> None:
    up.run("project", "add", "paid")
    spending = _json(up, "project", "budget", "paid", "--amount", "500", "--stop", "stop-running")
    assert (spending["budget"]["amount"], spending["budget"]["stop"]) == ("500", "stop-running")
    assert _json(up, "project", "budget", "paid", "--warn", "90")["budget"]["warn_percent"] == 90
    shown = up.run("project", "show", "paid").stdout
    assert b"of 500" in shown
    assert _json(up, "project", "budget", "paid", "--amount", "none")["budget"] is None
    assert up.run("project", "budget", "paid", "--amount", "much").returncode == 2


def test_how_long_the_audit_is_kept(up: Up) -> None:
    assert _json(up, "audit", "--retention")["days"] == 0
    assert b"90 days" in up.run("audit", "--keep", "90").stdout
    assert _json(up, "audit", "--keep", "0")["days"] == 0


def test_python_programs_do_the_same(up: Up) -> None:
    connection = json.loads((up.data_dir / "connection.json").read_text())
    with Client(connection["url"], connection["token"]) as client:
        table = client.prices.get()
        assert client.prices.set(table.model_copy(update={"currency": "points"})).currency == "points"
        assert client.budgets.set("default", Budget(amount="7", stop="none")).project == "default"
        client.budgets.remove("default")
        assert client.budgets.get("default").budget is None
        client.audit.keep(365)
        assert client.audit.retention() == 365
        client.audit.keep(0)
