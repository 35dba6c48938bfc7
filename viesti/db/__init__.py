"""The database room: tables, migrations, the pool, signals, and the embedded server."""
