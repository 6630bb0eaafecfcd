"""Reading a table of users, such as a class of 80, from a CSV file: all rows, or everything that is wrong with them."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from madang.domain.errors import InvalidInput
from madang.domain.names import PATH_PATTERN, check_name
from madang.domain.passwords import check_new
from madang.domain.people import ProjectRole

MAX_BYTES: Final = 4 * 2**20
_EMPTY: Final = "The file is empty. Its first line names the columns, e.g. account,name,e-mail,project."
MAX_USERS: Final = 10_000

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "account": ("user", "username", "login", "id", "계정", "아이디"),
    "name": ("fullname", "이름", "성명"),
    "e-mail": ("mail", "이메일", "메일", "전자우편"),
    "project": ("프로젝트",),
    "role": ("역할",),
    "policy": ("정책",),
    "password": ("firstpassword", "비밀번호", "암호", "초기비밀번호", "첫비밀번호"),
    "invitation": ("invite", "초대"),
}
"""The columns there are, and what else they may be called; upper and lower case, spaces and hyphens do not matter."""

_ROLES: Final[Mapping[str, ProjectRole]] = {
    **{role.value: role for role in ProjectRole},
    "소유자": ProjectRole.OWNER,
    "관리자": ProjectRole.MAINTAINER,
    "구성원": ProjectRole.MEMBER,
    "멤버": ProjectRole.MEMBER,
    "참여자": ProjectRole.MEMBER,
    "열람자": ProjectRole.VIEWER,
    "뷰어": ProjectRole.VIEWER,
}
_YES: Final = frozenset({"yes", "y", "true", "1", "x", "o", "예", "네", "ㅇ", "초대"})
_NO: Final = frozenset({"", "no", "n", "false", "0", "아니오", "아니요", "ㄴ"})
_DELIMITERS: Final = ",;\t"
_PATH: Final = re.compile(PATH_PATTERN)
_Value = TypeVar("_Value")
_EMAIL: Final = re.compile(r"[^@\s,;<>\"]{1,64}@[^@\s,;<>\"]+\.[^@\s,;<>\"]+")
_SHORTENED: Final = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NewUser:
    """One row. Either `password` is the first one, or the user is `invited` by e-mail to choose one."""

    line: int
    account: str
    name: str = ""
    email: str = ""
    project: str = ""  # its path; "": none
    role: ProjectRole = ProjectRole.MEMBER  # in the project
    policy: str = ""
    password: str = field(default="", repr=False)
    invited: bool = False


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that has to be written otherwise. `column` is empty when it is about the whole line."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}{f', {self.column}' if self.column else ''}: {self.message}"


@dataclass(frozen=True, slots=True)
class Roster:
    """The users in the order of the file; none at all when there are mistakes, which are in the order of lines.

    `rows` are all lines that were read, mistaken ones too, with what could not be read left empty: for further checks.
    """

    users: tuple[NewUser, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    rows: tuple[NewUser, ...] = ()

    def require(self) -> tuple[NewUser, ...]:
        """The users. Raises InvalidInput naming every mistake."""
        if not self.mistakes:
            return self.users
        count = len(self.mistakes)
        many = "1 mistake" if count == 1 else f"{count} mistakes"
        raise InvalidInput("\n".join([f"{many} in the file; nobody was added.", *map(str, self.mistakes)]))


class _WrongError(Exception):
    """What is wrong with one value, or with the whole file."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def read_roster(data: bytes, *, made_up: bool = False) -> Roster:
    """Read a CSV file in UTF-8, with commas, semicolons (as Excel writes them in some countries) or tabs.

    The first line names the columns, in any order, of which only `account` has to be there; see COLUMNS. `made_up`: who
    has neither a password nor an invitation will get a password that is made up, so that this is no mistake.
    """
    try:
        lines = list(_lines(_decoded(data)))
    except _WrongError as wrong:
        return Roster(mistakes=(Mistake(wrong.line, "", wrong.message),))
    if not lines:
        return Roster(mistakes=(Mistake(1, "", _EMPTY),))
    (first, header), rows = lines[0], lines[1:]
    columns, mistakes = _columns(first, header)
    if not rows:
        mistakes.append(Mistake(first, "", "There are no users below the line that names the columns; add one a line."))
    if mistakes:
        return Roster(mistakes=tuple(mistakes))
    reading = _Reading(columns, made_up=made_up)
    for line, cells in rows:
        reading.row(line, cells)
    read = tuple(reading.users)
    if reading.mistakes:
        return Roster(mistakes=tuple(reading.mistakes), rows=read)
    return Roster(read, rows=read)


def _decoded(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _WrongError(f"The file is larger than {MAX_BYTES >> 20} MiB. Split it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _WrongError(
            "This is not UTF-8 text. Save the table as 'CSV UTF-8'; in Excel that is a file type of its own.", line
        ) from None
    if "\0" in text:
        raise _WrongError("This is not a text file. Save the table as 'CSV UTF-8'.")
    if not text.strip():
        raise _WrongError(_EMPTY)
    # Korean letters come in pieces from some machines.
    return unicodedata.normalize("NFC", text)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, cells trimmed, with the numbers they have in an editor."""
    first = next(line for line in text.splitlines() if line.strip())
    skipped = 0
    if first.lower().startswith("sep=") and len(first.rstrip()) == 5:  # Excel's own hint
        delimiter = first[4]
        skipped = text[: text.index(first)].count("\n") + 1
        text = text.split("\n", skipped)[-1] if "\n" in text else ""
        if not text.strip():
            raise _WrongError("The file names no columns. Write e.g. account,name,e-mail,project.")
    else:
        delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    count = 0
    while True:
        line = skipped + reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:
            raise _WrongError(
                'A quotation mark is open, or in the middle of a value. Write "..." around the whole value, and "" for '
                "a quotation mark in it.",
                line,
            ) from None
        if not any(cells):
            continue
        count += 1
        if count > MAX_USERS + 1:
            raise _WrongError(f"There are more than {MAX_USERS:,} users in the file. Split it.", line)
        yield line, cells


def _columns(line: int, header: Sequence[str]) -> tuple[list[str], list[Mistake]]:
    """The columns by their usual names, and what is wrong with the header."""
    mistakes = []
    known = {_plain(alias): name for name, aliases in COLUMNS.items() for alias in (name, *aliases)}
    found: list[str] = []
    while header and not header[-1]:  # Excel leaves empty columns at the end
        header = header[:-1]
    for cell in header:
        name = known.get(_plain(cell), "")
        if not name:
            there = ", ".join(COLUMNS)
            what = f"'{cell[:40]}' is no column" if cell else "A column has no name"
            mistakes.append(Mistake(line, cell[:40], f"{what}; the first line names columns, and there are: {there}."))
        elif name in found:
            mistakes.append(Mistake(line, name, "The column is there twice. Remove one."))
        found.append(name)
    if "account" not in found:
        mistakes.append(Mistake(line, "account", "The column is missing. The first line has to name it."))
    return found, mistakes


def _plain(header: str) -> str:
    return re.sub(r"[\s_-]", "", header).casefold()


class _Reading:
    """Takes in rows, and goes on after a mistake to find the others."""

    def __init__(self, columns: Sequence[str], *, made_up: bool = False) -> None:
        self._made_up = made_up
        self.users: list[NewUser] = []
        self.mistakes: list[Mistake] = []
        self._columns = columns
        self._seen: dict[str, int] = {}  # accounts, and their lines
        self._line = 0

    def row(self, line: int, cells: Sequence[str]) -> None:
        """One line of the file."""
        if any(cells[len(self._columns) :]):
            message = (
                f"{len(cells)} values for {len(self._columns)} columns. Write quotation marks around a value with a "
                "comma or semicolon in it."
            )
            self.mistakes.append(Mistake(line, "", message))
            return
        values = {**dict.fromkeys(COLUMNS, ""), **dict(zip(self._columns, cells, strict=False))}
        self._line = line
        user = NewUser(
            line,
            self._read("account", values, self._account, ""),
            self._read("name", values, _full_name, ""),
            self._read("e-mail", values, _email, ""),
            self._read("project", values, _project, ""),
            self._read("role", values, _role, ProjectRole.MEMBER),
            self._read("policy", values, _policy, ""),
            values["password"],
            self._read("invitation", values, _invited, False),
        )
        if values["role"] and not values["project"]:
            self._wrong("role", "A role is one in a project; name the project, or leave the role out.")
        self._sign_in(user, values)
        self.users.append(user)

    def _read(self, column: str, values: Mapping[str, str], how: Callable[[str], _Value], otherwise: _Value) -> _Value:
        try:
            return how(values[column])
        except (_WrongError, InvalidInput) as wrong:
            self._wrong(column, wrong.message)
            return otherwise

    def _wrong(self, column: str, message: str) -> None:
        self.mistakes.append(Mistake(self._line, column, message))

    def _account(self, account: str) -> str:
        if not account:
            raise _WrongError("Every user needs an account. Write its name, e.g. kim-minsu.")
        if _SHORTENED.fullmatch(account):
            raise _WrongError(
                f"'{account}' is a number that was shortened. Format the column as text, and write it anew."
            )
        try:
            check_name(account)
        except InvalidInput as wrong:
            instead = re.sub(r"[^a-z0-9]+", "-", account.partition("@")[0].lower())[:40].strip("-")
            raise _WrongError(f"{wrong.message}{f' Write e.g. {instead}.' if instead else ''}") from None
        if account in self._seen:
            raise _WrongError(
                f"'{account}' is on line {self._seen[account]} already. Remove one, or give it another name."
            )
        self._seen[account] = self._line
        return account

    def _sign_in(self, user: NewUser, values: Mapping[str, str]) -> None:
        """Exactly one way to sign in for the first time."""
        if user.password and user.invited:
            self._wrong("password", "Give either a password or an invitation, not both.")
        elif user.password:
            try:
                check_new(user.password, (values["account"], values["name"], values["e-mail"]))
            except InvalidInput as wrong:
                self._wrong("password", wrong.message)
        elif not user.invited:
            if self._made_up:
                return
            if values["invitation"].casefold() in _NO:  # otherwise that has been told already
                self._wrong("password", "Give a first password, or write yes in the column invitation.")
        elif not values["e-mail"]:
            self._wrong("e-mail", "An invitation goes to an e-mail address. Write it, or give a first password.")


def _full_name(name: str) -> str:
    if len(name) > 200 or any(unicodedata.category(letter) == "Cc" for letter in name):
        raise _WrongError("A name is one line of at most 200 characters.")
    return name


def _email(address: str) -> str:
    if address and (len(address) > 254 or not _EMAIL.fullmatch(address)):
        raise _WrongError(f"'{address[:60]}' is no e-mail address; write one such as kim@example.org.")
    return address


def _project(path: str) -> str:
    if path and not _PATH.fullmatch(path):
        raise _WrongError(
            f"'{path[:60]}' cannot be a project. Write its name, of lower-case letters, digits and hyphens, "
            "or domain/name."
        )
    return path


def _policy(name: str) -> str:
    return check_name(name) if name else ""


def _role(written: str) -> ProjectRole:
    role = _ROLES.get(written.casefold()) if written else ProjectRole.MEMBER
    if role is None:
        raise _WrongError(f"'{written[:40]}' is no role in a project; write {', '.join(ProjectRole)}.")
    return role


def _invited(written: str) -> bool:
    answer = written.casefold()
    if answer not in _YES | _NO:
        raise _WrongError(f"'{written[:40]}' is neither yes nor no. Write yes to invite by e-mail, or nothing.")
    return answer in _YES
