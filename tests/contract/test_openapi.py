"""What the OpenAPI document promises is what a running server does, also when it is asked for nonsense."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from madang.api.app import create_app
from madang.api.openapi import DOCUMENT
from madang.domain.session import SessionKind
from madang.sdk import Client
from tests.integration.cli.conftest import Up

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))  # of each operation; more for a longer look
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
CREATING = ("/api/v1/sessions", "/api/v1/sessions:plan")
SLOW = ["python", "pytorch"]  # environments that take minutes to build


@schemathesis.serializer("application/x-tar", "application/gzip")
def bytes_as_they_are(_: Any, value: Any) -> bytes | None:
    """Archives are bytes; what else is made up for them is sent as text."""
    return value if isinstance(value, bytes) else json.dumps(value, default=str).encode()


schema = schemathesis.openapi.from_dict(create_app(None).openapi())


class Target:
    """A running platform with one live session that has files and output."""

    def __init__(self) -> None:
        self.up = Up()
        self.up.start()
        found = json.loads((self.up.data_dir / "connection.json").read_text())
        self.url, self.token = found["url"], found["token"]
        self.client = Client(self.url, self.token)
        self.node = self.client.nodes.list()[0].name
        command = ["sh", "-c", "echo hello; mkdir dir; echo file > dir/file; exec sleep 600"]
        slots = {"cpu": "0.1", "mem": "64m"}
        self.session = self.client.sessions.create(
            command, kind=SessionKind.INTERACTIVE, environment="bare", slots=slots
        ).id
        next(self.client.sessions.logs(self.session))
        self.upload = self.client.uploads.create(_archive()).id
        self.client.reservations.create(
            "class", slots={"cpu": "0.1"}, users=["admin"], days=["tue"], start="09:00", end="12:00"
        )

    def close(self) -> None:
        self.client.close()
        self.up.close()

    def aim(self, case: Case[Any]) -> None:
        """Replace names that nothing has by those of what is there, so that a request gets past `not found`."""
        known = {"session": self.session, "node": self.node, "name": "bare", "reservation": "class"}
        known |= {"domain": "default", "project": "default", "user": "admin"}
        known["group"] = "default" if case.method == "GET" else "other"  # sessions are created in the default one
        for name in known.keys() & case.path_parameters.keys():
            case.path_parameters[name] = known[name]
        if "path" in case.path_parameters:
            case.path_parameters["path"] = "dir/file" if case.method == "GET" else case.path_parameters["path"]
        if case.media_type in ("application/x-tar", "application/gzip"):
            case.body = _archive()
        if isinstance(case.body, dict) and case.operation.path in CREATING:
            case.body |= {"environment": "bare", "slots": {"cpu": "0.1", "mem": "64m"}, "upload": self.upload}
            case.body |= {"resource_group": "default", "reservation": None, "after": [], "after_ok": [], "models": []}
        if isinstance(case.body, dict) and case.operation.path == "/api/v1/nodes/{node}":
            case.body["resource_group"] = "default"
        if isinstance(case.body, dict) and case.operation.path == "/api/v1/reservations":
            case.body |= {"resource_group": "default", "users": ["admin"], "models": [], "slots": {"cpu": "0.1"}}


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("sent")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"data"))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.close()


@pytest.mark.parametrize("aimed", [False, True], ids=["anything", "what is there"])
@schema.parametrize()
@seed(20261101)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_server_keeps_its_document(case: Case[Any], target: Target, aimed: bool) -> None:
    if aimed:
        target.aim(case)
        if (case.method, case.operation.path) == ("POST", "/api/v1/sessions/{session}/stop"):
            return  # it would end what the others look at
    if case.operation.path.endswith(("/logs", "/events")) and not _refuses(case.query):
        case.query = {**(case.query or {}), "follow": "false"}  # else it waits for more
    if isinstance(case.body, dict) and case.operation.path in CREATING:
        _keep_it_light(case.body)
    if case.path_parameters.get("name") in SLOW and case.method == "POST":
        return
    response = case.call(base_url=target.url, headers={"Authorization": f"Bearer {target.token}"}, timeout=20)
    case.validate_response(response, checks=CHECKS)


def _refuses(query: Any) -> bool:
    """Whether a query has a `follow` that is neither true nor false."""
    return isinstance(query, dict) and str(query.get("follow", "true")).lower() not in ("true", "false")


def _keep_it_light(body: dict[str, Any]) -> None:
    if body.get("environment", "python") in SLOW:
        body["environment"] = "bare"
    if isinstance(body.get("slots", {}), dict):
        body.setdefault("slots", {"cpu": "0.1", "mem": "64m"})


def test_the_document_in_the_repository_is_this_one() -> None:
    check = subprocess.run([sys.executable, "-m", "madang.api.openapi", "--check"], capture_output=True, check=False)
    assert check.returncode == 0, check.stderr.decode()
    assert json.loads(DOCUMENT.read_text())["openapi"].startswith("3.1")


def test_every_operation_is_described_and_knows_its_errors() -> None:
    document = json.loads(DOCUMENT.read_text())
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["description"], operation["operationId"]
        assert len(operation["tags"]) == 1
        for status, response in operation["responses"].items():
            if int(status) >= 400 and operation["operationId"] != "get_readiness":
                assert list(response["content"]) == ["application/problem+json"], operation["operationId"]
