"""Running statements: databases, sessions, definitions, changes of data."""
