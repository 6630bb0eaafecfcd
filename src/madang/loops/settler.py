"""Agents' words written down as they come: those that come while a transaction runs share the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from madang.db.engine import Database, Transaction
from madang.domain.errors import MadangError
from madang.domain.ids import Clock
from madang.loops.outcomes import Word, settle

_AT_ONCE: Final = 100


class Settler:
    """A word alone is written at once; many cost a fraction of a transaction each."""

    def __init__(self, database: Database, clock: Clock, name: str) -> None:
        self._database = database
        self._clock = clock
        self._name = name
        self._waiting: list[tuple[Sequence[Word], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def settle(self, *words: Word) -> None:
        """Returns when the words are durable, all in one transaction. Raises what the database raises."""
        if not words:
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((words, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name=self._name)
        await done

    async def close(self) -> None:
        """Write nothing any more; who waits is cancelled."""
        if self._writer is not None:
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer

    async def _write_all(self) -> None:
        taken: list[tuple[Sequence[Word], asyncio.Future[None]]] = []
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
                await self._write(taken)
        except BaseException:
            for _, done in (*taken, *self._waiting):
                done.cancel()
            self._waiting.clear()
            raise
        finally:
            self._writer = None

    async def _write(self, taken: Sequence[tuple[Sequence[Word], asyncio.Future[None]]]) -> None:
        try:
            await self._save([word for words, _ in taken for word in words])
        except Exception as error:
            if len(taken) > 1 and not isinstance(error, MadangError):
                for one in taken:  # one of them cannot be written; the others must not suffer from it
                    await self._write([one])
                return
            for _, done in taken:
                if not done.done():
                    done.set_exception(error)
            return
        for _, done in taken:
            if not done.done():
                done.set_result(None)

    async def _save(self, words: Sequence[Word]) -> None:
        async def write(transaction: Transaction) -> None:
            await settle(transaction, words, self._clock.now())

        await self._database.transaction(write, self._name)
