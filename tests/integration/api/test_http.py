"""What every route promises: who gets in, what errors look like, which headers are there."""

from __future__ import annotations

import logging
import socket
from typing import Any

import httpx
import pytest

from madang.schemas.api import Problem
from tests.fake_platform import FakePlatform
from tests.fake_site import TOKEN
from tests.fake_streams import UPLOAD_LIMIT

GONE = "/api/v1/sessions/no-such-session"


def problem(response: httpx.Response, status: int, code: str) -> Problem:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(response.content)
    assert (found.status, found.code, found.type) == (status, code, f"https://madang.dev/problems/{code}")
    return found


def create(http: httpx.Client, **fields: Any) -> httpx.Response:
    return http.post("/api/v1/sessions", json={"command": ["true"], **fields})


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN} x", "Bearer \xe9", "Bearer " + "x" * 513, TOKEN],
)
@pytest.mark.parametrize("path", ["/api/v1/me", GONE, f"{GONE}/logs", "/metrics"])
def test_no_valid_token_gives_nothing(platform: FakePlatform, header: str | None, path: str) -> None:
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    response = httpx.get(platform.url + path, headers=headers, trust_env=False)
    problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


def test_two_authorization_headers_are_refused(platform: FakePlatform) -> None:
    headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other")]
    problem(httpx.get(f"{platform.url}/api/v1/me", headers=headers, trust_env=False), 401, "unauthorized")


def test_an_unknown_token_is_refused_before_the_body_is_looked_at(platform: FakePlatform) -> None:
    headers = {"Authorization": "Bearer wrong"}
    response = httpx.post(f"{platform.url}/api/v1/sessions", content=b"{", headers=headers, trust_env=False)
    problem(response, 401, "unauthorized")


def test_the_probes_are_open(platform: FakePlatform) -> None:
    assert httpx.get(f"{platform.url}/healthz", trust_env=False).json()["status"] == "ok"
    assert httpx.get(f"{platform.url}/readyz", trust_env=False).status_code == 200
    platform.health.status = platform.health.status.model_copy(update={"status": "starting"})
    response = httpx.get(f"{platform.url}/readyz", trust_env=False)
    assert (response.status_code, response.json()["status"]) == (503, "starting")


def test_me_tells_whose_token_it_is(http: httpx.Client) -> None:
    me: dict[str, object] = {"id": "0" * 26, "name": "alice", "role": "admin", "projects": [], "scopes": None}
    me["csrf"] = None  # for browsers only
    assert http.get("/api/v1/me").json() == me


@pytest.mark.parametrize(
    "path",
    [
        *[
            GONE,
            f"{GONE}/logs",
            f"{GONE}/events",
            f"{GONE}/usage",
            f"{GONE}/files",
            f"{GONE}/files/a",
            f"{GONE}/archive",
        ],
        *["/api/v1/nodes/none", "/api/v1/environments/none", "/api/v1/nothing-here", "/"],
    ],
)
def test_what_is_not_there_is_not_found(http: httpx.Client, path: str) -> None:
    problem(http.get(path), 404, "not_found")


def test_a_method_that_a_path_lacks_names_those_it_has(http: httpx.Client) -> None:
    response = http.put("/api/v1/sessions")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("ref", ["UPPER", "a_b", "-a", "x" * 41, "%00"])
def test_a_malformed_name_in_a_path_is_said_so(http: httpx.Client, ref: str) -> None:
    assert problem(http.get(f"/api/v1/sessions/{ref}"), 422, "invalid_input").errors


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 100_000, "recursion"),
        (b'{"comand": ["true"]}', "comand"),
        (b'{"command": "true"}', "command"),
        (b'{"command": ["a\\u0000b"]}', "command.0"),
        (b'{"command": ["\\ud800"]}', "JSON"),
        (b'{"command": ["true"], "slots": {"cpu": -1}}', "slots.cpu"),
    ],
)
def test_each_invalid_field_is_told_in_a_sentence(http: httpx.Client, body: bytes, word: str) -> None:
    found = problem(http.post("/api/v1/sessions", content=body), 422, "invalid_input")
    assert any(word in sentence for sentence in found.errors), found.errors
    assert "input_value" not in found.detail


def test_impossible_values_are_refused_by_their_rule(http: httpx.Client) -> None:
    problem(create(http, slots={"cpu": "many"}), 422, "invalid_slots")
    problem(create(http, command=[]), 422, "invalid_input")


def test_a_body_that_is_too_large_is_refused(http: httpx.Client) -> None:
    problem(http.post("/api/v1/sessions", content=b" " * (9 << 20)), 413, "too_large")
    problem(http.post("/api/v1/uploads", content=b"x" * (UPLOAD_LIMIT + 1)), 413, "too_large")


def test_creating_tells_where_it_is(http: httpx.Client) -> None:
    response = create(http)
    assert response.status_code == 201
    assert http.get(response.headers["location"]).json() == response.json()


def test_the_same_key_creates_once(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = (http.post("/api/v1/sessions", json={"command": ["a"]}, headers=headers) for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    other = http.post("/api/v1/sessions", json={"command": ["b"]}, headers=headers)
    problem(other, 409, "idempotency_mismatch")
    problem(http.post("/api/v1/sessions", json={}, headers={"Idempotency-Key": "x" * 256}), 422, "invalid_input")


def test_a_name_in_use_is_a_conflict(http: httpx.Client) -> None:
    assert create(http, name="mine").status_code == 201
    problem(create(http, name="mine"), 409, "name_in_use")


def test_pages_follow_one_another_without_gap(http: httpx.Client) -> None:
    made = [create(http).json()["id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = http.get("/api/v1/sessions", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made[::-1]
    problem(http.get("/api/v1/sessions", params={"cursor": "nonsense"}), 422, "invalid_input")
    problem(http.get("/api/v1/sessions", params={"limit": 0}), 422, "invalid_input")
    problem(http.get("/api/v1/sessions", params={"state": "asleep"}), 422, "invalid_input")


def test_listing_can_ask_for_several_states(http: httpx.Client) -> None:
    create(http)
    stopped = create(http).json()["id"]
    assert http.post(f"/api/v1/sessions/{stopped}/stop").status_code == 202
    found = http.get("/api/v1/sessions", params={"state": ["stopped", "failed"]}).json()["items"]
    assert [item["id"] for item in found] == [stopped]


def test_only_an_ended_session_is_deleted(http: httpx.Client) -> None:
    ref = create(http).json()["id"]
    problem(http.delete(f"/api/v1/sessions/{ref}"), 409, "conflict")
    http.post(f"/api/v1/sessions/{ref}/stop", json={"grace_seconds": 0})
    assert http.get(f"/api/v1/sessions/{ref}/usage").json() is None
    response = http.delete(f"/api/v1/sessions/{ref}")
    assert (response.status_code, response.content) == (204, b"")
    problem(http.post(f"/api/v1/sessions/{ref}/stop", json={"grace_seconds": -1}), 422, "invalid_input")


def test_every_answer_carries_security_headers_and_an_id(http: httpx.Client) -> None:
    for path in ("/api/v1/me", GONE, "/healthz", "/nothing"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert len(headers["x-request-id"]) == 26
        assert "server" not in headers


def test_files_of_users_are_never_pages_of_this_origin(http: httpx.Client, platform: FakePlatform) -> None:
    ref = create(http).json()["id"]
    name = 'dir/페이지 "x".html'
    assert http.put(f"/api/v1/sessions/{ref}/files/{name}", content=b"<script>").status_code == 204
    assert platform.sessions.files == {name: b"<script>"}
    response = http.get(f"/api/v1/sessions/{ref}/files/{name}")
    assert response.content == b"<script>"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment; filename*=UTF-8''%ED%8E%98")
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "a%2f..%2f..%2fb", "a%00b"])
def test_paths_that_leave_the_directory_are_refused(http: httpx.Client, path: str) -> None:
    ref = create(http).json()["id"]
    for method in ("GET", "PUT", "DELETE"):
        problem(http.request(method, f"/api/v1/sessions/{ref}/files/{path}"), 422, "unsafe_path")
    problem(http.get(f"/api/v1/sessions/{ref}/archive?path={path}"), 422, "unsafe_path")


def test_a_fault_shows_nothing_of_the_inside(http: httpx.Client) -> None:
    response = http.get("/api/v1/environments/explode")
    found = problem(response, 500, "internal")
    assert "hunter2" not in response.text
    assert response.headers["x-request-id"] in found.detail


def test_a_download_that_breaks_off_is_not_mistaken_for_whole(http: httpx.Client, platform: FakePlatform) -> None:
    ref = create(http).json()["id"]
    platform.sessions.files["broken"] = b"x" * 200_000
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(f"/api/v1/sessions/{ref}/files/broken")


def test_no_token_in_any_log(
    http: httpx.Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        http.get("/api/v1/me")
        http.get("/api/v1/environments/explode")
        http.get(f"/api/v1/environments/explode?token={TOKEN}")
    ours = [record for record in caplog.records if not record.name.startswith("http")]  # the client is in here too
    out = "".join(capfd.readouterr()) + "".join(record.getMessage() for record in ours)
    assert "request failed" in out
    assert TOKEN not in out


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7420", "127.0.0.1.evil.example", "a.localhost", ""])
def test_a_name_rebound_to_loopback_is_turned_away(http: httpx.Client, host: str) -> None:
    problem(http.get("/api/v1/me", headers={"Host": host}), 421, "misdirected")
    problem(http.get("/healthz", headers={"Host": host}), 421, "misdirected")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.8.9.1:1", "[::1]", "[::1]:7420"])
def test_loopback_names_are_answered(http: httpx.Client, host: str) -> None:
    assert http.get("/api/v1/me", headers={"Host": host}).status_code == 200


def test_a_client_that_leaves_while_uploading_is_no_fault(
    platform: FakePlatform, http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    address = ("127.0.0.1", int(platform.url.rpartition(":")[2]))
    with socket.create_connection(address) as connection:
        head = f"POST /api/v1/uploads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\nabc".encode())
    assert http.get("/api/v1/me").status_code == 200
    assert "Traceback" not in "".join(capfd.readouterr())


def test_metrics_are_for_those_who_are_known(http: httpx.Client) -> None:
    response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert b"madang_sessions" in response.content
