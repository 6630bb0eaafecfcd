"""The entry of `madang`: its commands, and errors as one line with an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from madang import __version__
from madang.cli import (
    account,
    announcement,
    audit,
    create,
    doctor,
    domain,
    environment,
    group,
    importing,
    invitation,
    key,
    login,
    maintenance,
    node,
    policy,
    preset,
    price,
    profile,
    project,
    reservation,
    run,
    session,
    sharing,
    simulate,
    status,
    token,
    up,
    usage,
    user,
)
from madang.cli.client import describe
from madang.cli.completion import profile_names
from madang.cli.i18n import t
from madang.cli.output import fail
from madang.domain.errors import InvalidInput, MadangError, TooLarge

app = typer.Typer(
    name="madang",
    help=t("main.help"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts 100 ms sooner
    context_settings={"help_option_names": ["-h", "--help"]},
)
up.register(app)
run.register(app)
status.register(app)
audit.register(app)
usage.register(app)
doctor.register(app)
create.register(session.app)
sharing.register(session.app)
user.register(app)
account.register(user.app)
login.register(app)
invitation.register(app, project.app)
importing.register(user.app)
app.add_typer(session.app, name="session")
app.add_typer(domain.app, name="domain")
app.add_typer(project.app, name="project")
app.add_typer(user.app, name="user")
app.add_typer(node.app, name="node")
app.add_typer(group.app, name="group")
app.add_typer(preset.app, name="preset")
app.add_typer(policy.app, name="policy")
app.add_typer(price.app, name="price")
app.add_typer(account.app, name="account")
app.add_typer(token.app, name="token")
app.add_typer(key.app, name="key")
app.add_typer(profile.app, name="profile")
app.add_typer(reservation.app, name="reservation")
app.add_typer(environment.app, name="environment")
app.add_typer(announcement.app, name="announcement")
app.add_typer(maintenance.app, name="maintenance")
app.add_typer(simulate.app, name="simulate")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"madang {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help=t("main.version"))
    ] = False,
    profile_name: Annotated[
        str | None, typer.Option("--profile", help=t("main.profile"), autocompletion=profile_names)
    ] = None,
) -> None:
    """Options of `madang` itself."""
    if profile_name is not None:
        for variable in ("MADANG_URL", "MADANG_TOKEN", "MADANG_KEY", "MADANG_SECRET"):
            os.environ.pop(variable, None)  # what is said on the command line goes before what is said around it
        os.environ["MADANG_PROFILE"] = profile_name


def main() -> None:
    """Run the command line; every expected error becomes one line and an exit code: 2 for bad input, else 1."""
    try:
        app()
    except MadangError as error:
        fail(describe(error))
        sys.exit(2 if isinstance(error, InvalidInput | TooLarge) else 1)
    except ValueError as error:
        fail(_invalid(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(1)


def _invalid(error: ValueError) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        raise error
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


if __name__ == "__main__":
    main()
