"""Madang from Python: `Client`, `AsyncClient`, and what they hand out."""

from __future__ import annotations

from madang.sdk.async_client import AsyncClient
from madang.sdk.blocking import Exec
from madang.sdk.client import Client
from madang.sdk.connection import Connection
from madang.sdk.errors import ApiError, NoServer
from madang.sdk.exec import AsyncExec
from madang.sdk.models import LogPiece

__all__ = ["ApiError", "AsyncClient", "AsyncExec", "Client", "Connection", "Exec", "LogPiece", "NoServer"]
