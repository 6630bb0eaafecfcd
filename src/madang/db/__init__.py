"""PostgreSQL: the embedded server, tables, repositories and migrations."""
