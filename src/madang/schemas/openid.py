"""Wire models of signing in by a provider without a browser of one's own: a code that is typed elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from madang.schemas.base import Wire

Handle = Annotated[str, Field(min_length=1, max_length=8192, repr=False)]


class DeviceBegun(Wire):
    """What to tell the person, and with what to ask whether it is done."""

    user_code: str
    verification_uri: str
    verification_uri_complete: str  # with the code in it; empty when the provider has no such address
    interval: int  # seconds between two questions
    expires_in: int  # seconds
    handle: Handle


class DevicePoll(Wire):
    """Whether it is done; `handle` is the newest one that was given."""

    handle: Handle
    label: Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f]*$")] = ""  # of the token


class DevicePending(Wire):
    """Not yet: ask again after `interval` seconds, with this handle."""

    status: Literal["pending"] = "pending"
    interval: int
    handle: Handle
