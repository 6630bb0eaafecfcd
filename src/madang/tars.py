"""Members of tar archives that strangers send: nothing in their headers may fill the memory of who reads them."""

from __future__ import annotations

import tarfile
from typing import Final

from madang.domain.errors import InvalidInput

_HEADER_LIMIT: Final = 1 << 20
_EXTENDED: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class BoundedMember(tarfile.TarInfo):
    """Refuses what tarfile would read into memory whole, however long it is; pass it as `tarinfo` to tarfile.open."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED and self.size > _HEADER_LIMIT:
            raise InvalidInput("The archive has a header that is longer than any name needs to be.")
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]

    def _proc_gnusparse_10(self, *_: object) -> None:
        # The map of holes is part of the contents, of any length.
        raise InvalidInput("The archive holds a sparse file; make it without tar's --sparse.")
