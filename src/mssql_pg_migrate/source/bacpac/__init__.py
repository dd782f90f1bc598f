"""A `.bacpac` or `.dacpac` file as a source: the package, its schema, its rows. No SQL Server is asked."""
