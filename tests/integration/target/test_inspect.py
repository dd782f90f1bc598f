"""What is read of tables that are there."""

from __future__ import annotations

from mssql_pg_migrate import Config, Migration
from servers import MssqlDatabase, PgDatabase


def test_an_index_over_an_identity_is_not_taken_for_its_sequence(
    source_db: MssqlDatabase, target_db: PgDatabase
) -> None:
    """Of many tables PostgreSQL may ask for the right on a relation before it looks what the relation is."""
    for number in range(21):
        source_db.execute_script(
            f"CREATE TABLE dbo.t{number} (id int IDENTITY NOT NULL CONSTRAINT PK_t{number} PRIMARY KEY, v int);\nGO\n"
            f"CREATE INDEX ix{number} ON dbo.t{number} (v) WHERE v IS NOT NULL AND id > 5"
        )
    target_db.execute("CREATE TABLE unrelated (id int GENERATED ALWAYS AS IDENTITY)")
    target_db.execute("CREATE INDEX ix ON unrelated (id) WHERE id > 5")
    sections = {"source": source_db.section(), "target": target_db.section()}
    migration = Migration(Config.from_dict(sections))
    assert migration.run().status == "completed"
    target_db.execute("ANALYZE")
    again = Migration(Config.from_dict({**sections, "migration": {"target_mode": "truncate"}}))
    assert [note for note in again.plan().notes if note.severity == "error"] == []
    assert again.validate().equal
