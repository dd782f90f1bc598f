"""What an existing table has of its own, and loses when it is dropped and made anew from the source.

What the new table will have under the same name (columns, indexes, constraints, comments of the source) is no loss.
What other objects lose, views for example, is ``prepare.dependents``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..mapping.objects import MappedTable

if TYPE_CHECKING:
    import psycopg

_OWN = """
WITH t AS (
    SELECT c.*, w.schema FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS w (schema, name)
    JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p')
), a AS (
    SELECT t.oid AS root, a.* FROM t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped
)
SELECT schema, relname, 'partitioning', pg_catalog.pg_get_partkeydef(oid) FROM t WHERE relkind = 'p'
UNION ALL SELECT t.schema, t.relname,
    CASE WHEN t.relispartition THEN 'place as a partition of' ELSE 'inheritance from'
        END, i.inhparent::regclass::text FROM t
    JOIN pg_catalog.pg_inherits i ON i.inhrelid = t.oid
UNION ALL SELECT t.schema, t.relname, 'column', a.attname FROM t JOIN a ON a.root = t.oid
UNION ALL SELECT t.schema, t.relname, 'default', a.attname FROM t JOIN a ON a.root = t.oid
    WHERE a.atthasdef AND a.attgenerated = ''
UNION ALL SELECT t.schema, t.relname, 'index', i.relname FROM t JOIN pg_catalog.pg_index x ON x.indrelid = t.oid
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.oid AND k.conrelid = t.oid)
UNION ALL SELECT t.schema, t.relname, 'constraint', k.conname FROM t
    JOIN pg_catalog.pg_constraint k ON k.conrelid = t.oid AND k.contype <> 'n' AND k.contype <> 't'
UNION ALL SELECT t.schema, t.relname, 'trigger', g.tgname FROM t
    JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL SELECT t.schema, t.relname, 'rule', r.rulename FROM t JOIN pg_catalog.pg_rewrite r ON r.ev_class = t.oid
UNION ALL SELECT t.schema, t.relname, 'row-level security', NULL FROM t WHERE t.relrowsecurity OR t.relforcerowsecurity
UNION ALL SELECT t.schema, t.relname, 'policy', p.polname FROM t JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid
UNION ALL SELECT DISTINCT t.schema, t.relname, 'grants to',
    CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(g.grantee) END
    FROM t CROSS JOIN LATERAL (
        SELECT * FROM pg_catalog.aclexplode(t.relacl)
        UNION ALL SELECT e.* FROM a CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS e WHERE a.root = t.oid
    ) AS g WHERE g.grantee <> t.relowner
UNION ALL SELECT t.schema, t.relname, 'owner', pg_catalog.pg_get_userbyid(t.relowner) FROM t
    WHERE t.relowner <> (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
UNION ALL SELECT t.schema, t.relname, 'publication', p.pubname FROM t
    JOIN pg_catalog.pg_publication_rel r ON r.prrelid = t.oid JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
UNION ALL SELECT t.schema, t.relname, 'replica identity', NULL FROM t WHERE t.relreplident NOT IN ('d', 'n')
UNION ALL SELECT t.schema, t.relname, 'statistics', s.stxname FROM t
    JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = t.oid
UNION ALL SELECT t.schema, t.relname, 'storage parameters', pg_catalog.array_to_string(t.reloptions, ', ') FROM t
    WHERE t.reloptions IS NOT NULL
UNION ALL SELECT t.schema, t.relname, 'tablespace', s.spcname FROM t
    JOIN pg_catalog.pg_tablespace s ON s.oid = t.reltablespace
UNION ALL SELECT t.schema, t.relname, 'comment', coalesce(a.attname, '') FROM t
    JOIN pg_catalog.pg_description d ON d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = t.oid
    LEFT JOIN a ON a.root = t.oid AND a.attnum = d.objsubid
ORDER BY 1, 2, 3, 4
"""

_SHOWN = 5
"""Names of a kind that are written out."""


def own_things(connection: psycopg.Connection[Any], tables: Sequence[MappedTable]) -> list[tuple[MappedTable, str]]:
    """Per table that is there and has something the new one will not have: what, as one clause.

    ``trigger audit, grants to app and reader, column remark``. Raises psycopg errors.
    """
    by_name = {(table.schema, table.name): table for table in tables}
    found: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    if tables:
        parameters = {"schemas": [name for name, _ in by_name], "names": [name for _, name in by_name]}
        for schema, name, kind, item in connection.execute(_OWN, parameters):
            if not _comes_again(by_name[schema, name], kind, item):
                found[schema, name][kind].append(item or "")
    return [(by_name[place], _listed(kinds)) for place, kinds in sorted(found.items())]


def _comes_again(table: MappedTable, kind: str, item: str | None) -> bool:
    """Whether the new table has it too."""
    columns = {column.name: column for column in table.columns}
    if kind == "column":
        return item in columns
    if kind == "default":
        column = columns.get(item or "")  # with a column of its own the default is named already
        return column is None or column.default_sql is not None
    if kind == "index":
        return item in {index.name for index in table.indexes}
    if kind == "constraint":
        keys = [*table.unique_keys, *([table.primary_key] if table.primary_key else [])]
        return item in {part.name for parts in (keys, table.checks, table.foreign_keys) for part in parts}
    if kind == "comment":
        if not item:
            return table.comment is not None
        return item not in columns or columns[item].comment is not None
    return False


def _listed(kinds: dict[str, list[str]]) -> str:
    parts = []
    for kind, items in kinds.items():
        names = [item for item in items if item]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        text = f"{kind} {', '.join(names[:_SHOWN])}{more}" if names else kind
        parts.append(text)
    return "; ".join(parts)
