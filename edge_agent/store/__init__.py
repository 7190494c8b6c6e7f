"""Everything that outlives a restart, in one SQLite file. The only user of sqlite3."""
