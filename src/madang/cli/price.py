"""`madang price`: what an hour of slots and devices costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.i18n import t
from madang.domain.errors import InvalidInput

if TYPE_CHECKING:
    from madang.schemas.money import PriceTable
    from madang.sdk import AsyncClient

app = typer.Typer(help=t("price.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]

_MODEL: Final = "model."


@app.command("ls", help=t("price.ls"))
def ls(json: Json = False) -> None:
    """See the catalogue for the help text."""
    _print(with_client(lambda client: client.prices.get()), json)


@app.command("set", help=t("price.set"))
def change(
    entries: Annotated[list[str] | None, typer.Argument(help=t("price.entries"), metavar="SLOT=PRICE...")] = None,
    currency: Annotated[str | None, typer.Option("--currency", help=t("price.currency"))] = None,
    digits: Annotated[int | None, typer.Option("--digits", help=t("price.digits"))] = None,
    timezone: Annotated[str | None, typer.Option("--timezone", help=t("price.timezone"))] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    changes = [_entry(one) for one in entries or []]

    async def work(client: AsyncClient) -> PriceTable:
        from madang.schemas.money import PriceTable

        before = (await client.prices.get()).model_dump()
        for name, price in changes:
            key = "models" if name.startswith(_MODEL) else "slots"
            prices, of = before[key], name.removeprefix(_MODEL)
            if of.endswith(".device"):
                prices.pop(f"{of.removesuffix('.device')}.shares", None)  # which is how it is written down
            if price == "none":
                prices.pop(of, None)
            else:
                prices[of] = price
        given = {"currency": currency, "digits": digits, "timezone": timezone}
        before |= {name: value for name, value in given.items() if value is not None}
        return await client.prices.set(PriceTable.model_validate(before))

    _print(with_client(work), json)


def _entry(written: str) -> tuple[str, str]:
    name, equals, price = written.partition("=")
    if not equals or not price or name in ("", _MODEL):
        raise InvalidInput(t("price.bad_entry", written=written[:60]))
    return name, price


def _print(table: PriceTable, json: bool) -> None:
    if json:
        output.dump(table)
        return
    rows = [[slot, price] for slot, price in table.slots.items()]
    rows += [[f"{_MODEL}{model}", price] for model, price in table.models.items()]
    output.table([t("column.name"), t("column.price")], rows, t("price.none"))
    if rows:
        print(t("price.of_month", currency=table.currency, timezone=table.timezone))
