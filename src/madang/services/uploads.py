"""Archives that sessions start with: received, checked, and durable before they are acknowledged."""

from __future__ import annotations

from collections.abc import AsyncIterator

from madang.domain.people import Caller
from madang.schemas.api import Upload


class UploadService:
    """Uploads lie in the data directory until a session has unpacked them, at most an hour when none uses them."""

    async def accept(self, caller: Caller, data: AsyncIterator[bytes]) -> Upload:
        """Receive a tar or tar.gz archive.

        Raises TooLarge (packed or unpacked), UnsafePath for members that are absolute, contain `..`, link outside, or
        are devices, InvalidInput when it is no archive, StorageFull.
        """
        raise NotImplementedError
