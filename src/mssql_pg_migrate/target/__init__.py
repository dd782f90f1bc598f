"""PostgreSQL: connect, create tables, write chunks with their ledger rows, finalize."""
