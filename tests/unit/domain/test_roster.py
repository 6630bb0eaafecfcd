"""A table of users is read as it comes out of a spreadsheet, and everything wrong with it is told at once."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.domain.errors import InvalidInput
from madang.domain.people import ProjectRole
from madang.domain.roster import MAX_BYTES, MAX_USERS, NewUser, Roster, read_roster

WORDS = "blue-tram-otter-nine"


def _read(*lines: str) -> Roster:
    return read_roster("\r\n".join(lines).encode())


def _wrong(*lines: str) -> list[str]:
    roster = _read(*lines)
    assert not roster.users, "nothing half-done"
    return [str(one) for one in roster.mistakes]


def test_a_class_of_80_is_read() -> None:
    rows = [f"ml-{at:02},Student {at},s{at}@example.org,ml-101,member,class,{WORDS}-{at}," for at in range(80)]
    users = _read("account,name,e-mail,project,role,policy,password,invitation", *rows).require()
    assert len(users) == 80
    assert users[7] == NewUser(
        9, "ml-07", "Student 7", "s7@example.org", "ml-101", ProjectRole.MEMBER, "class", f"{WORDS}-7", False
    )


@pytest.mark.parametrize("before", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_korean_spreadsheets_are_read(before: str, delimiter: str, line_end: str) -> None:
    rows = [
        ["계정", "이름", "이메일", "프로젝트", "역할", "정책", "초기 비밀번호", "초대", ""],
        ["kim", "김민수", "kim@example.org", "snu/vision", "관리자", "small", "", "예", ""],
        ["", "", "", "", "", "", "", "", ""],
        ["lee", "이영희", "", "", "", "", WORDS, "", ""],
    ]
    text = before + line_end.join(delimiter.join(row) for row in rows) + line_end
    kim, lee = read_roster(text.encode()).require()
    assert kim == NewUser(
        2, "kim", "김민수", "kim@example.org", "snu/vision", ProjectRole.MAINTAINER, "small", "", True
    )
    assert lee == NewUser(4, "lee", "이영희", password=WORDS)


def test_columns_come_in_any_order_and_most_may_be_missing() -> None:
    [kim] = _read("First Password;USER", f"{WORDS};kim").require()
    assert (kim.account, kim.password, kim.role) == ("kim", WORDS, ProjectRole.MEMBER)


def test_the_hint_with_which_excel_names_its_delimiter_is_no_line_of_users() -> None:
    assert _read("sep=;", "account;password", f"kim;{WORDS}").require()[0].line == 3
    assert _wrong("sep=;") == ["line 1: The file names no columns. Write e.g. account,name,e-mail,project."]


def test_values_may_have_commas_and_lines_in_quotation_marks() -> None:
    users = _read("account,name,password", f'kim,"Kim, Minsu",{WORDS}', f'lee,"Lee ""Y""",{WORDS}').require()
    assert [one.name for one in users] == ["Kim, Minsu", 'Lee "Y"']
    [told] = _wrong("account,name,password", f'kim,"Kim\nMinsu",{WORDS}', f"lee,Lee,{WORDS}")
    assert told == "line 2, name: A name is one line of at most 200 characters."
    [told] = _wrong("account,name,password", f'kim,"Kim\nMinsu\n",{WORDS}'.replace("\n", " "), f"Lee,Lee,{WORDS}")
    assert told.startswith("line 3, account")


def test_names_that_were_taken_apart_into_letters_are_put_together() -> None:
    [kim] = _read(
        unicodedata.normalize("NFD", "계정,이름,비밀번호"), unicodedata.normalize("NFD", f"kim,김,{WORDS}")
    ).users
    assert kim.name == "김"


def test_every_mistake_is_told_and_nobody_is_taken_over() -> None:
    header = "account,name,e-mail,project,role,policy,password,invitation"
    told = _wrong(
        header,
        f"Kim Minsu,,,,,,{WORDS},",
        f"lee,,nowhere,,,,{WORDS},",
        f"park,,,ML 101,,,{WORDS},",
        f"choi,,,ml,teacher,,{WORDS},",
        f"jung,,,,,Small!,{WORDS},",
        f"lee,,,,member,,{WORDS},",
        "kang,,,,,,,",
        "cho,,,,,,,yes",
        f"yoon,,y@example.org,,,,{WORDS},yes",
        f"jang,,,,,,{WORDS},perhaps",
        "lim,,,,,,short,",
        f",,,,,,{WORDS},",
        f"2.02612E+09,,,,,,{WORDS},",
        f"oh,,,,,,{WORDS},,,more",
        "good,,,,,,,perhaps",
    )
    begins = [
        "line 2, account: 'Kim Minsu' is not a valid name: use 1 to 40",
        "line 3, e-mail: 'nowhere' is no e-mail address; write one such as",
        "line 4, project: 'ML 101' cannot be a project. Write its name",
        "line 5, role: 'teacher' is no role in a project; write owner, maintainer, member, viewer.",
        "line 6, policy: 'Small!' is not a valid name",
        "line 7, account: 'lee' is on line 3 already.",
        "line 7, role: A role is one in a project; name the project",
        "line 8, password: Give a first password, or write yes in the column invitation.",
        "line 9, e-mail: An invitation goes to an e-mail address.",
        "line 10, password: Give either a password or an invitation",
        "line 11, invitation: 'perhaps' is neither yes nor no.",
        "line 12, password: A password has at least 10 characters.",
        "line 13, account: Every user needs an account.",
        "line 14, account: '2.02612E+09' is a number that was shortened.",
        "line 15: 10 values for 8 columns.",
        "line 16, invitation: 'perhaps' is neither yes nor no.",
    ]
    assert len(told) == len(begins)
    for one, begin in zip(told, begins, strict=True):
        assert one.startswith(begin)
    assert told[0].endswith("Write e.g. kim-minsu.")


def test_who_asks_for_the_users_gets_all_mistakes_as_one_error_without_passwords() -> None:
    roster = _read("account,password", "Kim,aaaaaaaaaaaa", "lee,lee")
    with pytest.raises(InvalidInput) as raised:
        roster.require()
    first, *rest = raised.value.message.split("\n")
    assert first == "3 mistakes in the file; nobody was added."
    assert rest == [str(one) for one in roster.mistakes]
    assert "aaaaaaaaaaaa" not in raised.value.message
    assert WORDS not in repr(_read("account,password", f"kim,{WORDS}"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "line 1: The file is empty."),
        (b",", "line 1: The file is empty."),
        (b"\xef\xbb\xbf \r\n\r\n", "line 1: The file is empty."),
        ("계정,이름\nkim,김\n".encode("cp949"), "line 1: This is not UTF-8 text. Save the table as 'CSV UTF-8'"),
        ("account,name\nkim,김\n".encode("cp949"), "line 2: This is not UTF-8 text."),
        ("account\n".encode("utf-16"), "line 1: This is not UTF-8 text."),
        (b"PK\x03\x04\0\0", "line 1: This is not a text file."),
        (b"a" * (MAX_BYTES + 1), "line 1: The file is larger than 4 MiB."),
        (b"account\n" + b"a\n" * (MAX_USERS + 1), f"line {MAX_USERS + 2}: There are more than 10,000 users"),
        (b"account,password\n", "line 1: There are no users below"),
        (b'account,name\nkim,"Kim\nlee,Lee\n', "line 2: A quotation mark is open"),
        (b'account,name\nkim,Kim\nlee,"L"ee\n', "line 3: A quotation mark is open, or in the middle"),
    ],
)
def test_a_file_that_is_no_table_is_told_what_to_do(data: bytes, says: str) -> None:
    roster = read_roster(data)
    assert not roster.users
    assert len(roster.mistakes) == 1
    assert str(roster.mistakes[0]).startswith(says)


def test_columns_that_are_unknown_missing_or_there_twice_are_told() -> None:
    assert _wrong("usr,name,이름,", f"kim,Kim,{WORDS}") == [
        "line 1, usr: 'usr' is no column; the first line names columns, and there are: account, name, e-mail, project, "
        "role, policy, password, invitation.",
        "line 1, name: The column is there twice. Remove one.",
        "line 1, account: The column is missing. The first line has to name it.",
    ]
    assert "line 1: A column has no name" in _wrong("account,,password", f"kim,,{WORDS}")[0]


_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@given(st.lists(st.lists(_texts, min_size=8, max_size=8), min_size=1, max_size=5))
def test_whatever_the_cells_say_the_answer_is_users_or_mistakes(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([["account", "name", "e-mail", "project", "role", "policy", "password", "초대"], *rows])
    roster = read_roster(out.getvalue().encode())
    assert bool(roster.users) != bool(roster.mistakes)
    assert [one.line for one in roster.mistakes] == sorted(one.line for one in roster.mistakes)


@given(st.binary(max_size=60))
def test_any_bytes_at_all_get_an_answer(data: bytes) -> None:
    roster = read_roster(data)
    assert bool(roster.users) != bool(roster.mistakes)


@given(st.lists(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True), min_size=1, unique=True))
def test_what_is_written_as_it_should_be_is_read_as_it_was_written(accounts: list[str]) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=";").writerows(
        [["account", "invitation", "e-mail"], *([one, "yes", "a@b.kr"] for one in accounts)]
    )
    assert [one.account for one in read_roster(out.getvalue().encode()).require()] == accounts


def test_who_has_no_password_gets_one_that_is_made_up_when_asked_for() -> None:
    table = b"account,password\nkim,\nlee,12345\n"
    assert [str(one)[:16] for one in read_roster(table).mistakes] == ["line 2, password", "line 3, password"]
    assert [one.line for one in read_roster(table, made_up=True).mistakes] == [3]


def test_rows_with_mistakes_are_there_for_further_checks() -> None:
    roster = _read("account,project,password", f"kim,No Project,{WORDS}", f"lee,ml-101,{WORDS}")
    assert [(one.account, one.project) for one in roster.rows] == [("kim", ""), ("lee", "ml-101")]
    assert not roster.users
