"""``mssql-pg-migrate demo``: the main job on two embedded servers."""
