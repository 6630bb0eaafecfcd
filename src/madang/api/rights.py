"""Writes docs/rights.md, the table of rights: `python -m madang.api.rights [--check]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from madang.domain.rights import RIGHTS, Scope, Tie

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "rights.md"

_HEAD: Final = """\
# Who may do what

Generated from `src/madang/domain/rights.py` by `python -m madang.api.rights`; change it there.

A right comes from how somebody is tied to an object: its owner, somebody in its project, somebody with whom it is
shared, an administrator of its domain or of all. What somebody has no right to see looks as if it did not exist. A
token that is limited to scopes does only what these allow, whoever its user is.

| right | what it allows | who has it | scope |
|---|---|---|---|
"""


def render() -> str:
    """The document as text that is the same whenever the table is."""
    rows = []
    for right, rule in RIGHTS.items():
        ties = ", ".join(tie for tie in Tie if tie in rule.ties)
        rows.append(f"| `{right}` | {rule.what} | {ties} | `{rule.scope}` |")
    scopes = ", ".join(f"`{scope}`" for scope in Scope)
    return _HEAD + "\n".join(rows) + f"\n\nScopes: {scopes}.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is stale")
    arguments = parser.parse_args()
    text = render()
    if not arguments.check:
        DOCUMENT.write_text(text)
        return 0
    if DOCUMENT.is_file() and DOCUMENT.read_text() == text:
        return 0
    sys.stderr.write(f"{DOCUMENT} is stale: run `python -m madang.api.rights` and commit it.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
