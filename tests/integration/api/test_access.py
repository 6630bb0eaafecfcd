"""The access matrix: every route, asked by everybody, of their own, their project's and foreign objects.

What has to come out follows from the table of rights, by way of one line here for each route. Requests are undone, so
that each finds everything as it was.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import shutil
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute

from madang.api.app import create_app
from madang.db.embedded import EmbeddedPostgres
from madang.db.engine import Transaction
from madang.domain.people import ProjectRole, split_path
from madang.domain.rights import RIGHTS, Right, Scope, Tie, gives
from madang.schemas.api import PolicyLimits, ReservationCreate, SessionCreate, TokenCreate
from madang.schemas.invitations import InvitationCreate
from madang.schemas.machines import KeyCreate, ProjectTokenCreate
from madang.schemas.people import DomainCreate, MemberUpdate, ProjectCreate, ShareUpdate, UserCreate
from madang.schemas.site import AnnouncementCreate, PresetPut
from tests.conftest import open_directory
from tests.fakes import FakeAgent
from tests.world import World

T = TypeVar("T")

_ROLES: Final = {
    ProjectRole.OWNER: Tie.OWNER,
    ProjectRole.MAINTAINER: Tie.MAINTAINER,
    ProjectRole.MEMBER: Tie.MEMBER,
    ProjectRole.VIEWER: Tie.VIEWER,
}


@dataclass
class Person:
    """Somebody who asks. All but the foreign ones are of the domain `default`."""

    name: str
    role: str = "user"
    domain: str = "default"
    projects: dict[str, ProjectRole] = field(default_factory=dict)


@dataclass
class Thing:
    """What is asked for, and the facts that decide who may."""

    name: str
    owner: str | None = None
    project: str | None = None
    domain: str | None = None
    shared: dict[str, Tie] = field(default_factory=dict)
    keeper: str = ""  # the only owner of a project

    def ties(self, who: Person) -> set[Tie]:
        ties = {Tie.ANYBODY}
        if who.role == "admin":
            ties.add(Tie.ADMIN)
        if who.name == self.owner:
            ties.add(Tie.SELF)
        if self.project in who.projects:
            ties.add(_ROLES[who.projects[self.project]])
        if who.domain == self.domain:
            ties |= {Tie.FELLOW, *([Tie.DOMAIN_ADMIN] if who.role == "domain_admin" else [])}
        return ties | ({self.shared[who.name]} if who.name in self.shared else set())


TEAM = "team"
PEOPLE: Final = [
    Person("admin", "admin", projects={"default": ProjectRole.OWNER, "side": ProjectRole.OWNER}),
    Person("domainadmin", "domain_admin"),
    Person("owner", projects={TEAM: ProjectRole.OWNER}),
    Person("maintainer", projects={TEAM: ProjectRole.MAINTAINER}),
    Person("author", projects={TEAM: ProjectRole.MEMBER}),
    Person("member", projects={TEAM: ProjectRole.MEMBER}),
    Person("viewer", projects={TEAM: ProjectRole.VIEWER}),
    Person("viewshare"),
    Person("useshare"),
    Person("outsider"),
    Person("foreigner", domain="snu"),
    Person("foreignadmin", "domain_admin", domain="snu"),
]

Sees = Callable[[set[Tie]], bool]


def can(right: Right) -> Sees:
    return lambda ties: gives(right, ties)


def always(_: set[Tie]) -> bool:
    return True


@dataclass(frozen=True)
class Entry:
    """What a route needs. `right`: None for everybody who is signed in. `kind`: which objects it is asked for.

    Who lacks what `sees` wants gets 404, who lacks the right only 403.
    """

    right: Right | None = None
    kind: str = "nothing"
    sees: Sees = always
    body: Callable[[Person, Thing], object] | None = None
    query: str = ""


def _of(kind: str, sees: Right, right: Right, body: object = None, query: str = "") -> Entry:
    return Entry(right, kind, can(sees), None if body is None else lambda who, thing: body, query)


def _session(right: Right, body: object = None, query: str = "") -> Entry:
    return _of("session", Right.SESSION_SEE, right, body, query)


def _project(right: Right, body: object = None) -> Entry:
    return _of("project", Right.PROJECT_SEE, right, body)


def _domain(right: Right, body: object = None) -> Entry:
    return _of("domain", Right.DOMAIN_SEE, right, body)


def _user(right: Right, body: object = None) -> Entry:
    return _of("user", Right.USER_SEE, right, body)


def _cluster(right: Right, body: object = None) -> Entry:
    return Entry(right, body=None if body is None else lambda who, thing: body)


def _listed(right: Right, query: str = "") -> Entry:
    """Whoever may not see anything gets an empty list; the scope counts."""
    return Entry(right, "list", query=query)


def _own(body: object) -> Entry:
    return Entry(Right.ACCOUNT_CHANGE, "list", body=lambda who, thing: body)


def _in_project(ties: set[Tie]) -> bool:
    return bool(ties & set(_ROLES.values()))


def _new_session(who: Person, thing: Thing) -> object:
    return {"command": ["x"], "slots": {"cpu": "0.1", "mem": "64m"}, "project": thing.name}


OPEN: Final = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/api/v1/openapi.json"),
    ("POST", "/api/v1/sign-in/invitation"),
    ("GET", "/api/v1/sign-in"),
    ("POST", "/api/v1/sign-in/token"),
    ("POST", "/api/v1/sign-in/browser"),
    ("POST", "/api/v1/sign-in/password-link/use"),
    ("GET", "/api/v1/sign-in/openid/{source}"),
    ("GET", "/api/v1/sign-in/openid/{source}/callback"),
    ("POST", "/api/v1/sign-in/openid/{source}/device"),
    ("POST", "/api/v1/sign-in/openid/{source}/device/poll"),
}
ONE: Final = "/api/v1/sessions/{session}"
IN: Final = "/api/v1/domains/{domain}/projects"
ROUTES: Final[dict[tuple[str, str], Entry]] = {
    ("GET", "/metrics"): _cluster(Right.CLUSTER_SEE),
    ("GET", "/api/v1/me"): Entry(),
    ("GET", "/api/v1/server"): Entry(),
    # sessions
    ("POST", "/api/v1/sessions"): Entry(Right.SESSION_CREATE, "place", _in_project, _new_session),
    ("POST", "/api/v1/sessions:plan"): Entry(Right.SESSION_CREATE, "place", _in_project, _new_session),
    ("GET", "/api/v1/sessions"): _listed(Right.SESSION_SEE),
    ("GET", ONE): _session(Right.SESSION_SEE),
    ("DELETE", ONE): _session(Right.SESSION_STOP),
    ("POST", f"{ONE}/stop"): _session(Right.SESSION_STOP),
    ("GET", f"{ONE}/usage"): _session(Right.SESSION_READ),
    ("GET", f"{ONE}/logs"): _session(Right.SESSION_READ, query="follow=false"),
    ("GET", f"{ONE}/events"): _session(Right.SESSION_SEE, query="follow=false"),
    ("GET", f"{ONE}/files"): _session(Right.SESSION_READ),
    ("GET", f"{ONE}/files/{{path:path}}"): _session(Right.SESSION_READ),
    ("PUT", f"{ONE}/files/{{path:path}}"): _session(Right.SESSION_ENTER, b"data"),
    ("DELETE", f"{ONE}/files/{{path:path}}"): _session(Right.SESSION_ENTER),
    ("GET", f"{ONE}/archive"): _session(Right.SESSION_READ),
    ("PUT", f"{ONE}/archive"): _session(Right.SESSION_ENTER, b"data"),
    ("WEBSOCKET", f"{ONE}/exec"): _session(Right.SESSION_ENTER),
    ("GET", f"{ONE}/shares"): _session(Right.SESSION_SHARE),
    ("PUT", f"{ONE}/shares"): _session(Right.SESSION_SHARE, {}),
    ("DELETE", f"{ONE}/shares"): _session(Right.SESSION_SHARE),
    ("GET", "/api/v1/events"): _listed(Right.SESSION_SEE, "follow=false"),
    ("POST", "/api/v1/uploads"): Entry(Right.SESSION_CREATE, "list", body=lambda who, thing: _tar()),
    # the cluster
    ("GET", "/api/v1/nodes"): _cluster(Right.CLUSTER_SEE),
    ("GET", "/api/v1/nodes/{node}"): _cluster(Right.CLUSTER_SEE),
    ("PATCH", "/api/v1/nodes/{node}"): _cluster(Right.CLUSTER_CHANGE, {"resource_group": "default"}),
    ("GET", "/api/v1/resource-groups"): _cluster(Right.CLUSTER_SEE),
    ("GET", "/api/v1/resource-groups/{group}"): _cluster(Right.CLUSTER_SEE),
    ("PUT", "/api/v1/resource-groups/{group}"): _cluster(Right.CLUSTER_CHANGE, {}),
    ("DELETE", "/api/v1/resource-groups/{group}"): _cluster(Right.CLUSTER_CHANGE),
    ("GET", "/api/v1/resource-groups/{group}/presets"): _cluster(Right.CLUSTER_SEE),
    ("PUT", "/api/v1/resource-groups/{group}/presets/{preset}"): _cluster(
        Right.CLUSTER_CHANGE, {"slots": {"cpu": "0.1"}}
    ),
    ("DELETE", "/api/v1/resource-groups/{group}/presets/{preset}"): _cluster(Right.CLUSTER_CHANGE),
    ("GET", "/api/v1/announcements"): Entry(),
    ("POST", "/api/v1/announcements"): _cluster(Right.SITE_CHANGE, {"message": {"en": "x"}}),
    ("PUT", "/api/v1/announcements/{announcement}"): _cluster(Right.SITE_CHANGE, {"message": {"en": "x"}}),
    ("DELETE", "/api/v1/announcements/{announcement}"): _cluster(Right.SITE_CHANGE),
    ("GET", "/api/v1/maintenance"): Entry(),
    ("PUT", "/api/v1/maintenance"): _cluster(Right.SITE_CHANGE, {"on": True}),
    ("GET", "/api/v1/reservations"): _cluster(Right.CLUSTER_SEE),
    ("POST", "/api/v1/reservations"): _cluster(
        Right.CLUSTER_CHANGE,
        {"name": "x", "slots": {"cpu": "0.1"}, "users": ["admin"], "days": ["tue"], "start": "09:00", "end": "12:00"},
    ),
    # It is kept for the author.
    ("GET", "/api/v1/reservations/{reservation}"): Entry(
        Right.CLUSTER_SEE, "reservation", lambda ties: bool(ties & {Tie.SELF, Tie.ADMIN})
    ),
    ("DELETE", "/api/v1/reservations/{reservation}"): _cluster(Right.CLUSTER_CHANGE),
    ("GET", "/api/v1/environments"): _cluster(Right.CLUSTER_SEE),
    ("GET", "/api/v1/environments/{name}"): _cluster(Right.CLUSTER_SEE),
    ("POST", "/api/v1/environments/{name}/build"): _cluster(Right.CLUSTER_SEE),
    ("GET", "/api/v1/policies"): _cluster(Right.CLUSTER_SEE),
    ("PUT", "/api/v1/policies/{policy}"): _cluster(Right.POLICY_CHANGE, {}),
    ("DELETE", "/api/v1/policies/{policy}"): _cluster(Right.POLICY_CHANGE),
    ("POST", "/api/v1/policies:lay"): _cluster(
        Right.POLICY_CHANGE, {"policy": "small", "upon": "user", "name": "author"}
    ),
    # people
    ("GET", "/api/v1/domains"): _listed(Right.DOMAIN_SEE),
    ("POST", "/api/v1/domains"): _cluster(Right.DOMAIN_CHANGE, {"name": "new"}),
    ("GET", "/api/v1/domains/{domain}"): _domain(Right.DOMAIN_SEE),
    ("PATCH", "/api/v1/domains/{domain}"): _domain(Right.DOMAIN_CHANGE, {"title": "new"}),
    ("DELETE", "/api/v1/domains/{domain}"): _domain(Right.DOMAIN_CHANGE),
    ("GET", "/api/v1/projects"): _listed(Right.PROJECT_SEE),
    ("POST", IN): _domain(Right.PROJECT_CREATE, {"name": "new"}),
    ("GET", f"{IN}/{{project}}"): _project(Right.PROJECT_SEE),
    ("PATCH", f"{IN}/{{project}}"): _project(Right.PROJECT_CHANGE, {"title": "new"}),
    ("DELETE", f"{IN}/{{project}}"): _project(Right.PROJECT_CREATE),
    ("GET", f"{IN}/{{project}}/members"): _project(Right.PROJECT_SEE),
    ("PUT", f"{IN}/{{project}}/members/{{user}}"): _project(Right.PROJECT_PEOPLE, {"role": "owner"}),
    ("DELETE", f"{IN}/{{project}}/members/{{user}}"): _project(Right.PROJECT_PEOPLE),
    ("GET", f"{IN}/{{project}}/tokens"): _project(Right.PROJECT_PEOPLE),
    ("POST", f"{IN}/{{project}}/tokens"): _project(Right.PROJECT_PEOPLE, {"label": "new"}),
    ("DELETE", f"{IN}/{{project}}/tokens/{{token}}"): Entry(
        Right.PROJECT_PEOPLE, "project token", can(Right.PROJECT_SEE)
    ),
    ("GET", f"{IN}/{{project}}/invitations"): _project(Right.PROJECT_PEOPLE),
    ("POST", f"{IN}/{{project}}/invitations"): _project(Right.PROJECT_PEOPLE, {}),
    ("DELETE", f"{IN}/{{project}}/invitations/{{invitation}}"): _project(Right.PROJECT_PEOPLE),
    ("POST", "/api/v1/me/invitations"): Entry(Right.ACCOUNT_CHANGE, "list", body=lambda who, thing: {"link": "x"}),
    ("POST", "/api/v1/users:import"): Entry(Right.USER_CHANGE, "own domain", body=lambda who, thing: b"account\n"),
    ("GET", "/api/v1/users"): _listed(Right.USER_SEE),
    ("POST", "/api/v1/users"): Entry(
        Right.USER_CHANGE, "domain", can(Right.DOMAIN_SEE), lambda who, thing: {"name": "new", "domain": thing.name}
    ),
    ("GET", "/api/v1/users/{user}"): _user(Right.USER_SEE),
    ("PATCH", "/api/v1/users/{user}"): _user(Right.USER_CHANGE, {"full_name": "new"}),
    ("DELETE", "/api/v1/users/{user}"): _user(Right.USER_CHANGE),
    ("POST", "/api/v1/users/{user}/password"): _user(Right.USER_CHANGE),
    ("POST", "/api/v1/users/{user}/password-link"): _user(Right.USER_CHANGE),
    ("DELETE", "/api/v1/users/{user}/second-factor"): _user(Right.USER_CHANGE),
    # one's own
    ("DELETE", "/api/v1/sign-in"): Entry(),
    ("GET", "/api/v1/me/account"): _listed(Right.ACCOUNT_CHANGE),
    ("PUT", "/api/v1/me/password"): _own({"old_password": "x", "new_password": "y"}),
    ("POST", "/api/v1/me/second-factor"): _own({"password": "x"}),
    ("PUT", "/api/v1/me/second-factor"): _own({"enrolment": "x", "code": "1"}),
    ("POST", "/api/v1/me/second-factor/remove"): _own({"code": "1"}),
    ("GET", "/api/v1/tokens"): _listed(Right.ACCOUNT_CHANGE),
    ("POST", "/api/v1/tokens"): Entry(Right.ACCOUNT_CHANGE, "list", body=lambda who, thing: {"label": "new"}),
    ("DELETE", "/api/v1/tokens/{token}"): _of("token", Right.ACCOUNT_CHANGE, Right.ACCOUNT_CHANGE),
    ("GET", "/api/v1/keys"): _listed(Right.ACCOUNT_CHANGE),
    ("POST", "/api/v1/keys"): Entry(Right.ACCOUNT_CHANGE, "list", body=lambda who, thing: {"label": "new"}),
    ("DELETE", "/api/v1/keys/{key}"): _of("key", Right.ACCOUNT_CHANGE, Right.ACCOUNT_CHANGE),
    ("GET", "/api/v1/audit"): Entry(Right.AUDIT_SEE, "own domain"),
    ("GET", "/api/v1/audit/retention"): _cluster(Right.AUDIT_KEEP),
    ("PUT", "/api/v1/audit/retention"): _cluster(Right.AUDIT_KEEP, {"days": 0}),
    ("GET", "/api/v1/prices"): _cluster(Right.CLUSTER_SEE),
    ("PUT", "/api/v1/prices"): _cluster(Right.PRICE_CHANGE, {}),
    ("GET", f"{IN}/{{project}}/budget"): _project(Right.BUDGET_SEE),
    ("PUT", f"{IN}/{{project}}/budget"): _project(Right.BUDGET_CHANGE, {"amount": "5"}),
    ("DELETE", f"{IN}/{{project}}/budget"): _project(Right.BUDGET_CHANGE),
    ("GET", "/api/v1/usage"): _listed(Right.USAGE_SEE),
}


def _tar() -> bytes:
    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w").close()
    return buffer.getvalue()


class Site(World):
    """The people and the things."""

    app: FastAPI
    http: httpx.AsyncClient

    async def fill(self) -> None:
        services, admin = self.services, await self.caller()
        self.tokens: dict[str, str] = {}
        self.narrow: dict[Scope, str] = {}
        await services.domains.create(admin, DomainCreate(name="snu"))
        for who in PEOPLE[1:]:
            wanted = {"name": who.name, "role": who.role, "domain": who.domain}
            await services.users.create(admin, UserCreate.model_validate(wanted))
            who.projects["default" if who.domain == "default" else "snu/default"] = ProjectRole.MEMBER
        PEOPLE[0].projects["snu/default"] = ProjectRole.OWNER
        await services.projects.create(admin, "default", ProjectCreate(name=TEAM, owner="owner"))
        await services.projects.create(admin, "default", ProjectCreate(name="side"))
        for who in PEOPLE:
            if TEAM in who.projects:
                how = MemberUpdate(role=who.projects[TEAM])
                await services.projects.set_member(admin, "default", TEAM, who.name, how)
        self.own: dict[str, Thing] = {}
        self.token_ids: dict[str, str] = {}
        self.key_ids: dict[str, str] = {}
        for who in PEOPLE:
            self.tokens[who.name] = await services.tokens.issue(who.name, "user", "matrix")
            caller = await services.tokens.authenticate(self.tokens[who.name])
            self.token_ids[who.name] = caller.credential
            self.key_ids[who.name] = (await services.keys.create(caller, KeyCreate(label="matrix"))).id
            project = "default" if who.domain == "default" else "snu/default"
            made = await services.sessions.create(caller, _asked(f"own-{who.name}", project))
            self.own[who.name] = Thing(made.id, who.name, project, who.domain)
        await self._share()
        self.robots: dict[str, str] = {}
        for path in (TEAM, "side", "snu/default"):
            robot = await services.project_tokens.create(admin, *split_path(path), ProjectTokenCreate(label="matrix"))
            self.robots[path] = robot.id
        for scope in (Scope.USAGE_READ, Scope.AUDIT_READ):
            wide = await services.tokens.authenticate(self.tokens["admin"])
            made_token = await services.tokens.create(wide, TokenCreate(label="narrow", scopes=[scope.value]))
            self.narrow[scope] = made_token.token
        self.invitations: dict[str, str] = {}
        for path in (TEAM, "side", "snu/default"):
            place, any_ = split_path(path), InvitationCreate()
            invited = await services.invitations.create(admin, place, any_, base="http://x", language="en")
            self.invitations[path] = invited.id
        await services.policies.put(admin, "small", PolicyLimits())
        await services.presets.put(admin, "default", "small", PresetPut(slots={"cpu": "0.1"}))
        said = await services.notices.create(admin, AnnouncementCreate(message={"en": "x"}))
        self.announcement = said.id
        kept = {"name": "class", "slots": {"cpu": "0.1"}, "users": ["author"], "days": ["tue"]}
        await services.reservations.create(
            admin, ReservationCreate.model_validate({**kept, "start": "09:00", "end": "12:00"})
        )

    async def _share(self) -> None:
        """A session of the project, shared with two who are not in it."""
        caller = await self.services.tokens.authenticate(self.tokens["author"])
        made = await self.services.sessions.create(caller, _asked("shared", TEAM))
        for user, level in (("viewshare", "view"), ("useshare", "use")):
            share = ShareUpdate.model_validate({"user": user, "level": level})
            await self.services.sharing.share(caller, made.id, share)
        shared = {"viewshare": Tie.VIEW, "useshare": Tie.USE}
        self.of_project = Thing(made.id, "author", TEAM, "default", shared)

    def undo_everything(self) -> None:
        """From now on nothing is saved."""

        async def undone(work: Callable[[Transaction], Awaitable[T]], name: str) -> T:
            async with self.database._engine.connect() as connection:
                result = await work(Transaction(connection))
                await connection.rollback()
                return result

        self.database.transaction = undone  # type: ignore[method-assign]

    def things(self, who: Person, kind: str) -> Iterator[Thing]:
        """What a route is asked for: one's own, one of a project, a foreign one."""
        team = Thing(TEAM, None, TEAM, "default", keeper="owner")
        side = Thing("side", None, "side", "default", keeper="admin")
        theirs = Thing("snu/default", None, "snu/default", "snu", keeper="admin")
        found = {
            "session": [self.own[who.name], self.of_project, self.own["outsider"], self.own["foreigner"]],
            "project": [team, side, theirs],
            "place": [team, side, theirs],
            "domain": [Thing("default", domain="default"), Thing("snu", domain="snu")],
            "own domain": [Thing("", domain=who.domain)],
            "user": [
                Thing(who.name, who.name, None, who.domain),
                Thing("outsider", "outsider", None, "default"),
                Thing("foreigner", "foreigner", None, "snu"),
            ],
            "project token": [team, side, theirs],
            "token": [Thing(self.token_ids[name], name) for name in {who.name, "author"}],
            "key": [Thing(self.key_ids[name], name) for name in {who.name, "author"}],
            "reservation": [Thing("class", "author")],
            "list": [Thing("", who.name, next(iter(who.projects)), who.domain)],
        }
        yield from found.get(kind, [Thing("")])

    async def ask(
        self, route: tuple[str, str], token: str | None, who: Person, thing: Thing, entry: Entry
    ) -> tuple[int, str]:
        """The status and the text of the answer."""
        method, path = route
        project_domain, _, project = thing.name.rpartition("/")
        values = {
            "session": thing.name,
            "token": self.robots.get(thing.name, thing.name),
            "key": thing.name,
            "reservation": thing.name or "class",
            "domain": (project_domain or "default") if entry.kind in ("project", "project token") else thing.name,
            "project": project,
            "user": thing.keeper or thing.name,
            "invitation": self.invitations.get(thing.name, ""),
            "policy": "small",
            "preset": "small",
            "announcement": self.announcement,
            "node": "node1",
            "group": "default",
            "name": "python",
            "path:path": "file",
        }
        url = path
        for name, value in values.items():
            url = url.replace(f"{{{name}}}", value)
        if method == "WEBSOCKET":
            return await self._connect(url, token), ""
        body = entry.body(who, thing) if entry.body is not None else None
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = await self.http.request(method, f"{url}?{entry.query}", content=content, headers=headers)
        return answer.status_code, answer.text

    async def _connect(self, path: str, token: str | None) -> int:
        """What a WebSocket handshake is answered: 101, or the status of the refusal."""
        headers = [(b"host", b"127.0.0.1")]
        if token is not None:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        scope: dict[str, Any] = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "subprotocols": [],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "ws",
            "root_path": "",
            "extensions": {"websocket.http.response": {}},
        }
        coming: Iterator[dict[str, Any]] = itertools.chain(
            [{"type": "websocket.connect"}], itertools.repeat({"type": "websocket.disconnect", "code": 1000})
        )
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return next(coming)

        async def send(message: Any) -> None:
            sent.append(message)

        await asyncio.wait_for(self.app(scope, receive, send), 10)
        return 101 if sent[0]["type"] == "websocket.accept" else int(sent[0].get("status", 403))


def _asked(name: str, project: str) -> SessionCreate:
    slots: dict[str, int | str] = {"cpu": "0.1", "mem": "64m"}
    return SessionCreate(name=name, command=["x"], slots=slots, project=project)


@pytest.fixture(scope="module")
async def site(postgres: EmbeddedPostgres) -> AsyncIterator[Site]:
    connection = await asyncpg.connect(postgres.url())
    await connection.execute("CREATE DATABASE access TEMPLATE madang_template STRATEGY file_copy")
    directory = open_directory()
    made = Site(postgres.url("access"), directory, [FakeAgent()])
    await made.open()
    await made.watch.step()
    await made.fill()
    made.undo_everything()
    made.app = create_app(made.services)
    transport = httpx.ASGITransport(made.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        made.http = http
        yield made
    await made.crash()
    shutil.rmtree(directory, ignore_errors=True)
    await connection.execute("DROP DATABASE access WITH (FORCE)")
    await connection.close()


def every_route() -> set[tuple[str, str]]:
    found = {("GET", "/api/v1/openapi.json")}
    for route in create_app(None).routes:
        if isinstance(route, APIRoute):
            found |= {(method, route.path) for method in route.methods or ()}
        elif isinstance(route, APIWebSocketRoute):
            found.add(("WEBSOCKET", route.path))
    return found


def test_every_route_has_its_line() -> None:
    assert every_route() == ROUTES.keys() | OPEN


def expected(entry: Entry, who: Person, thing: Thing) -> str:
    ties = thing.ties(who)
    if not entry.sees(ties):
        return "404"
    if entry.right is None or entry.kind == "list" or gives(entry.right, ties):
        return "yes"
    return "403"


@pytest.mark.parametrize("route", sorted(ROUTES), ids=lambda route: f"{route[0]} {route[1]}")
async def test_everybody_gets_what_the_table_of_rights_says(site: Site, route: tuple[str, str]) -> None:
    entry = ROUTES[route]
    wrong = []
    for who in PEOPLE:
        for thing in site.things(who, entry.kind):
            status, text = await site.ask(route, site.tokens[who.name], who, thing, entry)
            found = str(status) if status in (401, 403, 404, 405) or status >= 500 else "yes"
            if found != (want := expected(entry, who, thing)):
                wrong.append(f"{who.name} of {thing}: {status} instead of {want}: {text[:300]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("route", sorted(ROUTES), ids=lambda route: f"{route[0]} {route[1]}")
async def test_nobody_gets_in_without_a_credential_or_with_one_for_other_things(
    site: Site, route: tuple[str, str]
) -> None:
    entry, admin = ROUTES[route], PEOPLE[0]
    thing = next(one for one in site.things(admin, entry.kind) if entry.sees(one.ties(admin)))
    for token in (None, "mdg_" + "x" * 43):
        status, text = await site.ask(route, token, admin, thing, entry)
        assert status == 401, text
    if entry.right is None:
        return
    other = Scope.USAGE_READ if RIGHTS[entry.right].scope is not Scope.USAGE_READ else Scope.AUDIT_READ
    status, text = await site.ask(route, site.narrow[other], admin, thing, entry)
    assert status == 403, text


@pytest.mark.parametrize("who", PEOPLE, ids=lambda who: who.name)
async def test_lists_show_what_may_be_seen_and_nothing_more(site: Site, who: Person) -> None:
    headers = {"Authorization": f"Bearer {site.tokens[who.name]}"}

    async def listed(path: str, name: str) -> set[str]:
        answer = await site.http.get(f"/api/v1/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["next"] is None
        return {item[name] for item in answer.json()["items"]}

    def seen(right: Right, things: list[Thing]) -> set[str]:
        return {thing.name for thing in things if gives(right, thing.ties(who))}

    sessions = [*site.own.values(), site.of_project]
    assert await listed("sessions?limit=200", "id") == seen(Right.SESSION_SEE, sessions)
    domains = [Thing(name, domain=name) for name in ("default", "snu")]
    assert await listed("domains", "name") == seen(Right.DOMAIN_SEE, domains)
    places = {"default": "default", TEAM: "default", "side": "default", "snu/default": "snu"}
    projects = [Thing(path, None, path, domain) for path, domain in places.items()]
    assert await listed("projects", "project") == seen(Right.PROJECT_SEE, projects)
    accounts = [Thing(one.name, one.name, None, one.domain) for one in PEOPLE]
    assert await listed("users", "name") == seen(Right.USER_SEE, accounts)
