"""The only home of SQL on the tables, and of who may see which row."""
