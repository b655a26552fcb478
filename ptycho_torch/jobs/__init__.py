"""Jobs: command lines of this package in a queue that outlives its workers, on SQLite."""
