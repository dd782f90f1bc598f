"""The catalog queries: plain joins over ``sys.*`` that SQL Server 2012 and later, and Azure SQL, all answer.

They read the whole database; what belongs together is put together in Python (`catalog_build`). Columns that came with
later versions are listed as `Newer`: where the server does not have one, its fallback takes its place. Values of type
sql_variant are cast, because drivers cannot fetch them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Newer:
    """A catalog column that not every server has: ``alias.name`` of ``view``, else the expression ``fallback``.

    It is read as type ``cast`` where the driver could not make anything of its own.
    """

    view: str
    alias: str
    name: str
    fallback: str
    cast: str | None = None

    @property
    def item(self) -> str:
        """The select item."""
        column = f"{self.alias}.{self.name}"
        return f"CAST({column} AS {self.cast}) AS {self.name}" if self.cast else column


@dataclass(frozen=True, slots=True)
class CatalogQuery:
    """One query of the catalog.

    ``columns`` are select items whose last word is their name (``t.name``, ``s.name AS schema_name``); ``source`` is
    what follows FROM. ``since`` is the SQL Server version that brought the view; a server without it has nothing of it.
    """

    subject: str
    """What it reads, for messages: ``the indexes``."""
    columns: tuple[str, ...]
    source: str
    newer: tuple[Newer, ...] = ()
    since: int = 2012

    @property
    def may_be_unknown(self) -> bool:
        """Whether a server from 2012 on may not know all of it."""
        return bool(self.newer) or self.since > 2012

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the result columns."""
        return tuple(item.replace(".", " ").split()[-1] for item in self.columns) + tuple(n.name for n in self.newer)

    def sql(self, missing: Collection[Newer] = ()) -> str:
        """The statement, with fallbacks for the columns that are missing."""
        items = list(self.columns)
        items += [f"{n.fallback} AS {n.name}" if n in missing else n.item for n in self.newer]
        return f"SELECT {', '.join(items)} FROM {self.source}"


_TABLES = "sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id"

DATABASE = (
    "SELECT DB_NAME() AS name,"
    " CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128)) AS collation,"
    " CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)) AS version"
)

SCHEMAS = CatalogQuery("the schemas", ("s.schema_id", "s.name"), "sys.schemas AS s")

TABLES = CatalogQuery(
    "the tables",
    ("t.object_id", "s.name AS schema_name", "t.name"),
    f"{_TABLES} WHERE t.is_ms_shipped = 0",
    newer=(
        Newer("sys.tables", "t", "temporal_type", "0"),
        Newer("sys.tables", "t", "history_table_id", "NULL"),
        Newer("sys.tables", "t", "is_node", "0"),
        Newer("sys.tables", "t", "is_edge", "0"),
        Newer("sys.tables", "t", "is_memory_optimized", "0"),
        Newer("sys.tables", "t", "is_external", "0"),
        Newer("sys.tables", "t", "is_filetable", "0"),
        Newer("sys.tables", "t", "is_dropped_ledger_table", "0"),
    ),
)

TYPES = CatalogQuery(
    "the types",
    (
        "y.user_type_id",
        "y.system_type_id",
        "s.name AS schema_name",
        "y.name",
        "y.max_length",
        "y.precision",
        "y.scale",
        "y.collation_name",
        "y.is_nullable",
        "y.is_user_defined",
    ),
    "sys.types AS y LEFT JOIN sys.schemas AS s ON s.schema_id = y.schema_id",
    newer=(
        Newer("sys.types", "y", "is_assembly_type", "0"),
        Newer("sys.types", "y", "is_table_type", "0"),
    ),
)

COLUMNS = CatalogQuery(
    "the columns",
    (
        "c.object_id",
        "c.column_id",
        "c.name",
        "c.user_type_id",
        "c.system_type_id",
        "c.max_length",
        "c.precision",
        "c.scale",
        "c.collation_name",
        "c.is_nullable",
        "c.is_identity",
        "c.is_computed",
    ),
    "sys.columns AS c JOIN sys.tables AS t ON t.object_id = c.object_id WHERE t.is_ms_shipped = 0",
    newer=(
        Newer("sys.columns", "c", "is_rowguidcol", "0"),
        Newer("sys.columns", "c", "is_filestream", "0"),
        Newer("sys.columns", "c", "is_sparse", "0"),
        Newer("sys.columns", "c", "is_column_set", "0"),
        Newer("sys.columns", "c", "is_hidden", "0"),
        Newer("sys.columns", "c", "generated_always_type", "0"),
        Newer("sys.columns", "c", "is_masked", "0"),
        Newer("sys.columns", "c", "encryption_type", "NULL"),
        Newer("sys.columns", "c", "graph_type", "NULL"),
        Newer("sys.columns", "c", "vector_base_type_desc", "NULL"),
        Newer("sys.columns", "c", "is_dropped_ledger_column", "0"),
        Newer("sys.columns", "c", "default_object_id", "0"),
        Newer("sys.columns", "c", "rule_object_id", "0"),
        Newer("sys.columns", "c", "xml_collection_id", "0"),
    ),
)

CODE_PAGES = CatalogQuery(
    "the code pages of collations",
    ("x.collation_name", "CAST(COLLATIONPROPERTY(x.collation_name, 'CodePage') AS int) AS code_page"),
    "(SELECT DISTINCT c.collation_name FROM sys.columns AS c JOIN sys.tables AS t ON t.object_id = c.object_id"
    " WHERE c.collation_name IS NOT NULL) AS x",
)

IDENTITIES = CatalogQuery(
    "seeds and increments of identity columns",
    (
        "i.object_id",
        "i.column_id",
        "CAST(i.seed_value AS decimal(38, 0)) AS seed_value",
        "CAST(i.increment_value AS decimal(38, 0)) AS increment_value",
        "CAST(i.last_value AS decimal(38, 0)) AS last_value",
    ),
    "sys.identity_columns AS i",
    newer=(Newer("sys.identity_columns", "i", "is_not_for_replication", "0"),),
)

COMPUTED = CatalogQuery(
    "the computed columns",
    ("c.object_id", "c.column_id", "c.definition", "c.is_persisted"),
    "sys.computed_columns AS c",
)

DEFAULTS = CatalogQuery(
    "the default constraints",
    ("d.parent_object_id", "d.parent_column_id", "d.name", "d.definition"),
    "sys.default_constraints AS d",
    newer=(Newer("sys.default_constraints", "d", "object_id", "NULL"),),
)

BOUND = CatalogQuery(
    "rules and stand-alone defaults bound to columns",
    ("b.object_id", "b.column_id", "s.name AS schema_name", "o.name", "o.type", "m.definition"),
    "(SELECT object_id, column_id, default_object_id AS bound_id FROM sys.columns WHERE default_object_id <> 0"
    " UNION ALL SELECT object_id, column_id, rule_object_id FROM sys.columns WHERE rule_object_id <> 0) AS b"
    " JOIN sys.objects AS o ON o.object_id = b.bound_id JOIN sys.schemas AS s ON s.schema_id = o.schema_id"
    " LEFT JOIN sys.sql_modules AS m ON m.object_id = o.object_id"
    " WHERE o.parent_object_id = 0 AND o.type IN ('D', 'R')",
)
"""What sp_bindefault and sp_bindrule did. The parent of a default constraint, unlike of these, is its table."""

XML_SCHEMAS = CatalogQuery(
    "XML schema collections of columns",
    ("c.object_id", "c.column_id", "s.name AS schema_name", "x.name"),
    "sys.columns AS c JOIN sys.tables AS t ON t.object_id = c.object_id"
    " JOIN sys.xml_schema_collections AS x ON x.xml_collection_id = c.xml_collection_id"
    " JOIN sys.schemas AS s ON s.schema_id = x.schema_id WHERE c.xml_collection_id <> 0",
)

INDEXES = CatalogQuery(
    "keys and indexes",
    (
        "i.object_id",
        "i.index_id",
        "i.name",
        "i.type_desc",
        "i.is_unique",
        "i.is_primary_key",
        "i.is_unique_constraint",
    ),
    "sys.indexes AS i WHERE i.index_id > 0",
    newer=(
        Newer("sys.indexes", "i", "is_disabled", "0"),
        Newer("sys.indexes", "i", "is_hypothetical", "0"),
        Newer("sys.indexes", "i", "ignore_dup_key", "0"),
        Newer("sys.indexes", "i", "has_filter", "0"),
        Newer("sys.indexes", "i", "filter_definition", "NULL"),
    ),
)

INDEX_COLUMNS = CatalogQuery(
    "the columns of keys and indexes",
    (
        "ic.object_id",
        "ic.index_id",
        "ic.index_column_id",
        "ic.column_id",
        "ic.key_ordinal",
        "ic.is_descending_key",
        "ic.is_included_column",
    ),
    "sys.index_columns AS ic JOIN sys.tables AS t ON t.object_id = ic.object_id",
)

FULLTEXT = CatalogQuery(
    "the full-text indexes",
    ("x.object_id", "x.column_id"),
    "sys.fulltext_index_columns AS x",
)

KEY_CONSTRAINTS = CatalogQuery(
    "the names of primary keys and unique constraints",
    ("k.parent_object_id", "k.unique_index_id", "k.name"),
    "sys.key_constraints AS k",
    newer=(Newer("sys.key_constraints", "k", "object_id", "NULL"),),
)

FOREIGN_KEYS = CatalogQuery(
    "the foreign keys",
    (
        "f.object_id",
        "f.name",
        "f.parent_object_id",
        "f.referenced_object_id",
        "f.delete_referential_action_desc",
        "f.update_referential_action_desc",
        "f.is_disabled",
        "f.is_not_trusted",
    ),
    "sys.foreign_keys AS f",
)

FOREIGN_KEY_COLUMNS = CatalogQuery(
    "the columns of foreign keys",
    ("x.constraint_object_id", "x.constraint_column_id", "x.parent_column_id", "x.referenced_column_id"),
    "sys.foreign_key_columns AS x",
)

CHECKS = CatalogQuery(
    "the check constraints",
    ("k.parent_object_id", "k.parent_column_id", "k.name", "k.definition", "k.is_disabled", "k.is_not_trusted"),
    "sys.check_constraints AS k",
    newer=(Newer("sys.check_constraints", "k", "object_id", "NULL"),),
)

ROWS = CatalogQuery(
    "row counts",
    ("p.object_id", "SUM(p.rows) AS row_count"),
    "sys.partitions AS p WHERE p.index_id IN (0, 1) GROUP BY p.object_id",
)

SIZES = CatalogQuery(
    "sizes of tables",
    ("p.object_id", "SUM(a.used_pages) AS used_pages"),
    "sys.allocation_units AS a JOIN sys.partitions AS p ON p.partition_id = a.container_id"
    " WHERE p.index_id IN (0, 1) GROUP BY p.object_id",
)

PROPERTIES = CatalogQuery(
    "descriptions (extended properties)",
    ("e.class", "e.major_id", "e.minor_id", "e.name", "CAST(e.value AS nvarchar(max)) AS value"),
    "sys.extended_properties AS e",
)

SEQUENCES = CatalogQuery(
    "the sequences",
    (
        "q.object_id",
        "s.name AS schema_name",
        "q.name",
        "q.user_type_id",
        "q.system_type_id",
        "q.precision",
        "q.scale",
        "CAST(q.start_value AS decimal(38, 0)) AS start_value",
        "CAST(q.increment AS decimal(38, 0)) AS increment",
        "CAST(q.minimum_value AS decimal(38, 0)) AS minimum_value",
        "CAST(q.maximum_value AS decimal(38, 0)) AS maximum_value",
        "q.is_cycling",
        "q.cache_size",
        "CAST(q.current_value AS decimal(38, 0)) AS current_value",
    ),
    "sys.sequences AS q JOIN sys.schemas AS s ON s.schema_id = q.schema_id",
    newer=(Newer("sys.sequences", "q", "last_used_value", "NULL", cast="decimal(38, 0)"),),
)

MODULES = CatalogQuery(
    "views, routines and triggers",
    (
        "o.object_id",
        "s.name AS schema_name",
        "o.name",
        "o.type",
        "o.parent_object_id",
        "m.definition",
        "m.is_schema_bound",
    ),
    "sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id"
    " LEFT JOIN sys.sql_modules AS m ON m.object_id = o.object_id"
    " WHERE o.is_ms_shipped = 0"
    " AND o.type IN ('V', 'P', 'PC', 'FN', 'IF', 'TF', 'FS', 'FT', 'AF', 'TR', 'TA')",
)

VIEW_COLUMNS = CatalogQuery(
    "the columns of views",
    ("c.object_id", "c.column_id", "c.name"),
    "sys.columns AS c JOIN sys.views AS v ON v.object_id = c.object_id WHERE v.is_ms_shipped = 0",
)

DATABASE_TRIGGERS = CatalogQuery(
    "the triggers on the database",
    ("g.name",),
    "sys.triggers AS g WHERE g.parent_class = 0 AND g.is_ms_shipped = 0",
)

SYNONYMS = CatalogQuery(
    "the synonyms",
    ("n.object_id", "s.name AS schema_name", "n.name", "n.base_object_name"),
    "sys.synonyms AS n JOIN sys.schemas AS s ON s.schema_id = n.schema_id",
)

ROW_FILTERS = CatalogQuery(
    "row-level security",
    ("r.target_object_id",),
    "sys.security_predicates AS r JOIN sys.security_policies AS p ON p.object_id = r.object_id"
    " WHERE r.predicate_type = 0 AND p.is_enabled = 1",
    since=2016,
)

ALL = (
    SCHEMAS,
    TABLES,
    TYPES,
    COLUMNS,
    CODE_PAGES,
    IDENTITIES,
    COMPUTED,
    DEFAULTS,
    BOUND,
    XML_SCHEMAS,
    INDEXES,
    INDEX_COLUMNS,
    FULLTEXT,
    KEY_CONSTRAINTS,
    FOREIGN_KEYS,
    FOREIGN_KEY_COLUMNS,
    CHECKS,
    ROWS,
    SIZES,
    PROPERTIES,
    SEQUENCES,
    MODULES,
    VIEW_COLUMNS,
    DATABASE_TRIGGERS,
    SYNONYMS,
    ROW_FILTERS,
)
"""Every query, to be asked together."""
