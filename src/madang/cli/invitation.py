"""`madang project invite|invitations|uninvite` and `madang join`: into projects by link."""

from __future__ import annotations

from typing import Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.i18n import t
from madang.cli.moments import parse_moment, show_moment
from madang.domain.people import ProjectRole

Path = Annotated[str, typer.Argument(help=t("project.name"), metavar="PROJECT")]
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]


def register(main: typer.Typer, projects: typer.Typer) -> None:
    """Add the commands to `madang` and `madang project`."""
    main.command(name="join", help=t("invitation.join"))(join)
    projects.command(name="invite", help=t("invitation.add"))(invite)
    projects.command(name="invitations", help=t("invitation.ls"))(invitations)
    projects.command(name="uninvite", help=t("invitation.rm"))(uninvite)


def invite(
    path: Path,
    role: Annotated[ProjectRole, typer.Option("--role", help=t("member.role"))] = ProjectRole.MEMBER,
    expires: Annotated[str | None, typer.Option("--expires", metavar="TIME", help=t("invitation.expires"))] = None,
    uses: Annotated[int, typer.Option("--uses", min=1, max=1000, help=t("invitation.uses"))] = 1,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help=t("invitation.until"))] = None,
    email: Annotated[str, typer.Option("--email", help=t("invitation.email"))] = "",
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    expires_at = None if expires is None else parse_moment(expires)
    member_until = None if until is None else parse_moment(until)
    made = with_client(
        lambda client: client.invitations.create(
            path, role, expires_at=expires_at, most_uses=uses, member_until=member_until, email=email
        )
    )
    if json:
        output.dump(made)
        return
    print(made.link)
    output.note(t("invitation.shown_once", until=show_moment(made.expires_at)))
    if made.sent:
        output.note(t("invitation.sent", email=made.email))
    elif made.email:
        output.warn(t("invitation.not_sent"))


def invitations(path: Path, json: Json = False) -> None:
    """See the catalogue for the help text."""
    found = with_client(lambda client: client.invitations.list(path))
    if json:
        output.dump(found)
        return
    columns = [t(f"column.{name}") for name in ("id", "role", "email", "uses", "expires", "member_until")]
    rows = [
        [
            one.id,
            one.role,
            one.email,
            f"{one.uses}/{one.most_uses}",
            show_moment(one.expires_at),
            show_moment(one.member_until),
        ]
        for one in found
    ]
    output.table(columns, rows, t("invitation.none"))


def uninvite(path: Path, invitation: Annotated[str, typer.Argument(help=t("invitation.id"), metavar="ID")]) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.invitations.revoke(path, invitation))
    print(invitation)


def join(link: Annotated[str, typer.Argument(help=t("invitation.link"), metavar="LINK")], json: Json = False) -> None:
    """See the catalogue for the help text."""
    place = with_client(lambda client: client.invitations.accept(link))
    if json:
        output.dump(place)
        return
    until = show_moment(place.expires_at)
    print(f"{place.project} {place.role}{f' {until}' if until else ''}")
