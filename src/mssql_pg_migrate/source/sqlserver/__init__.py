"""SQL Server: connect, read the catalog, split tables into key ranges, read ranges as COPY bytes."""
