"""Queries and expressions of T-SQL into DuckDB's SQL, with a type for every expression."""
