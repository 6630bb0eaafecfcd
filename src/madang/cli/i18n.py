"""What the command line says, in English and Korean; `python -m madang.cli.i18n --check` finds what is missing."""

from __future__ import annotations

import ast
import os
import string
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from madang.cli.messages import en, ko
from madang.domain.why import Language

CATALOGUES: Final[Mapping[str, Mapping[str, str]]] = {"en": en.MESSAGES, "ko": ko.MESSAGES}
_VARIABLES: Final = ("MADANG_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def language(environ: Mapping[str, str] = os.environ) -> Language:
    """`ko` or `en`: the first of MADANG_LANG, LC_ALL, LC_MESSAGES and LANG that is set decides."""
    for variable in _VARIABLES:
        if value := environ.get(variable, ""):
            return "ko" if value.lower().startswith(("ko", "kor")) else "en"
    return "en"


_chosen: Final = CATALOGUES[language()]


def t(key: str, /, **values: object) -> str:
    """The message of `key` in the user's language, with its placeholders filled in."""
    message = _chosen.get(key) or en.MESSAGES[key]
    return message.format(**values) if values else message


@dataclass
class _Uses:
    """What the sources ask the catalogue for."""

    keys: dict[str, str] = field(default_factory=dict)  # key: where
    prefixes: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


def problems(sources: Path | None = None) -> list[str]:
    """Everything that is wrong with the catalogues, a sentence each; empty when nothing is."""
    uses = _uses(sources or Path(__file__).parent)
    found = list(uses.wrong)
    for key, where in sorted(uses.keys.items()):
        found += [f"{where}: '{key}' is missing in {name}" for name, texts in CATALOGUES.items() if key not in texts]
    for key in sorted(en.MESSAGES.keys() | ko.MESSAGES.keys()):
        found += [f"'{key}' is missing in {name}" for name, texts in CATALOGUES.items() if key not in texts]
        if key not in uses.keys and not key.startswith(tuple(uses.prefixes)):
            found.append(f"'{key}' is not used anywhere")
        fields = {name: _placeholders(texts[key]) for name, texts in CATALOGUES.items() if key in texts}
        if len(set(map(frozenset, fields.values()))) > 1:
            found.append(f"'{key}' has other placeholders in each language: {fields}")
    return list(dict.fromkeys(found))


def _placeholders(message: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(message) if name is not None}


def _uses(directory: Path) -> _Uses:
    uses = _Uses()
    for path in sorted(directory.glob("*.py")):
        for call in _calls(ast.parse(path.read_text(encoding="utf-8"))):
            _note(call, f"{path.name}:{call.lineno}", uses)
    return uses


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "t":
            yield node


def _note(call: ast.Call, where: str, uses: _Uses) -> None:
    key = call.args[0] if call.args else None
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        uses.keys[key.value] = where
        given = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
        wanted = _placeholders(en.MESSAGES.get(key.value, ""))
        if given != wanted and key.value in en.MESSAGES:
            uses.wrong.append(f"{where}: '{key.value}' needs {sorted(wanted)} and is given {sorted(map(str, given))}")
    elif isinstance(key, ast.JoinedStr) and isinstance(key.values[0], ast.Constant):
        uses.prefixes.add(str(key.values[0].value))
    else:
        uses.wrong.append(f"{where}: a key has to be written out, or to begin with a written part")


if __name__ == "__main__":
    if sys.argv[1:] != ["--check"]:
        sys.exit("usage: python -m madang.cli.i18n --check")
    wrong = problems()
    print("\n".join(wrong) or f"{len(en.MESSAGES)} messages in {len(CATALOGUES)} languages are complete")
    sys.exit(1 if wrong else 0)
