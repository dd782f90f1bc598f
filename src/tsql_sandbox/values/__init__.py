"""T-SQL's data types, and conversions between their values."""
