"""Parts of statements that several repositories share."""

from __future__ import annotations

from sqlalchemy import Column, ColumnElement, Text, any_, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import KeyedColumnElement


def among(column: Column[str] | KeyedColumnElement[str], parameter: str) -> ColumnElement[bool]:
    """Whether a column has one of the values of a list parameter: one statement, however many there are."""
    return column == any_(bindparam(parameter, type_=ARRAY(Text)))
