"""Entry point of Alembic; the connection is given by `madang.db.schema`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

import madang.db.site_tables  # noqa: F401 - its tables are of the metadata, too
from madang.db.tables import metadata

_connection = context.config.attributes.get("connection")
if not isinstance(_connection, Connection):
    raise RuntimeError("Migrations run when the server starts; see madang.db.schema.")

context.configure(connection=_connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
