"""The catalog views: sys.*, INFORMATION_SCHEMA and a few of their ancestors, filled from the catalog.

Columns are those SQL Server 2022 documents, as far as tools ask for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from mssql_pg_migrate.tds.times import ticks_of

from ..tsql import nodes as n
from ..tsql.parse_base import TokenParser
from ..values import sqltypes as st
from ..values.convert import to_duckdb
from ..values.sqltypes import SqlType
from . import sysrows as rows
from . import sysrows_keys as keys
from . import sysrows_others as others
from . import sysrows_running as running
from .session import CatalogSession

Rows = Callable[["CatalogSession"], Iterable[Mapping[str, Any]]]

_OBJECT = (
    "name sysname, object_id int, principal_id int, schema_id int, parent_object_id int, type char(2), "
    "type_desc nvarchar(60), create_date datetime, modify_date datetime, is_ms_shipped bit, is_published bit, "
    "is_schema_published bit"
)
_COLUMN = (
    "object_id int, name sysname, column_id int, system_type_id tinyint, user_type_id int, max_length smallint, "
    "precision tinyint, scale tinyint, collation_name sysname, is_nullable bit, is_ansi_padded bit, is_rowguidcol bit, "
    "is_identity bit, is_computed bit, is_filestream bit, is_replicated bit, is_non_sql_subscribed bit, "
    "is_merge_published bit, is_dts_replicated bit, is_xml_document bit, xml_collection_id int, "
    "default_object_id int, rule_object_id int, is_sparse bit, is_column_set bit, generated_always_type tinyint, "
    "generated_always_type_desc nvarchar(60), encryption_type int, encryption_type_desc nvarchar(64), "
    "encryption_algorithm_name sysname, column_encryption_key_id int, column_encryption_key_database_name sysname, "
    "is_hidden bit, is_masked bit, graph_type int, graph_type_desc nvarchar(60), is_data_deletion_filter_column bit, "
    "ledger_view_column_type int, ledger_view_column_type_desc nvarchar(60), is_dropped_ledger_column bit, "
    "vector_dimensions int, vector_base_type tinyint, vector_base_type_desc nvarchar(10)"
)
_INDEX = (
    "object_id int, name sysname, index_id int, type tinyint, type_desc nvarchar(60), is_unique bit, "
    "data_space_id int, ignore_dup_key bit, is_primary_key bit, is_unique_constraint bit, fill_factor tinyint, "
    "is_padded bit, is_disabled bit, is_hypothetical bit, is_ignored_in_optimization bit, allow_row_locks bit, "
    "allow_page_locks bit, has_filter bit, filter_definition nvarchar(max), compression_delay int, auto_created bit"
)
_MODULE = (
    "object_id int, definition nvarchar(max), uses_ansi_nulls bit, uses_quoted_identifier bit, is_schema_bound bit, "
    "uses_database_collation bit, is_recompiled bit, null_on_null_input bit, execute_as_principal_id int, "
    "uses_native_compilation bit, is_inlineable bit"
)
_TYPE = (
    "name sysname, system_type_id tinyint, user_type_id int, schema_id int, principal_id int, max_length smallint, "
    "precision tinyint, scale tinyint, collation_name sysname, is_nullable bit, is_user_defined bit, "
    "is_assembly_type bit, default_object_id int, rule_object_id int, is_table_type bit"
)

_VIEWS: dict[str, tuple[str, Rows]] = {
    "databases": (
        "name sysname, database_id int, source_database_id int, owner_sid varbinary(85), create_date datetime, "
        "compatibility_level tinyint, collation_name sysname, user_access tinyint, user_access_desc nvarchar(60), "
        "is_read_only bit, is_auto_close_on bit, state tinyint, state_desc nvarchar(60), recovery_model tinyint, "
        "recovery_model_desc nvarchar(60), snapshot_isolation_state tinyint, "
        "snapshot_isolation_state_desc nvarchar(60), is_read_committed_snapshot_on bit, is_cdc_enabled bit, "
        "is_encrypted bit, containment tinyint, is_query_store_on bit",
        rows.databases,
    ),
    "schemas": ("name sysname, schema_id int, principal_id int", rows.schemas),
    "types": (_TYPE, rows.types),
    "table_types": (f"{_TYPE}, type_table_object_id int, is_memory_optimized bit", rows.table_types),
    "assembly_types": (
        f"{_TYPE}, assembly_id int, assembly_class sysname, is_binary_ordered bit, is_fixed_length bit, "
        "prog_id nvarchar(40), assembly_qualified_name nvarchar(4000)",
        rows.assembly_types,
    ),
    "objects": (_OBJECT, rows.objects),
    "tables": (
        f"{_OBJECT}, lob_data_space_id int, filestream_data_space_id int, max_column_id_used int, "
        "lock_on_bulk_load bit, uses_ansi_nulls bit, is_replicated bit, has_replication_filter bit, "
        "is_merge_published bit, is_sync_tran_subscribed bit, has_unchecked_assembly_data bit, "
        "text_in_row_limit int, large_value_types_out_of_row bit, is_tracked_by_cdc bit, lock_escalation tinyint, "
        "lock_escalation_desc nvarchar(60), is_filetable bit, is_memory_optimized bit, durability tinyint, "
        "durability_desc nvarchar(60), temporal_type tinyint, temporal_type_desc nvarchar(60), history_table_id int, "
        "is_remote_data_archive_enabled bit, is_external bit, history_retention_period int, is_node bit, is_edge bit, "
        "ledger_type tinyint, ledger_type_desc nvarchar(60), is_dropped_ledger_table bit",
        rows.tables,
    ),
    "columns": (_COLUMN, rows.columns),
    "identity_columns": (
        f"{_COLUMN}, seed_value sql_variant, increment_value sql_variant, last_value sql_variant, "
        "is_not_for_replication bit",
        rows.identity_columns,
    ),
    "computed_columns": (
        f"{_COLUMN}, definition nvarchar(max), uses_database_collation bit, is_persisted bit",
        rows.computed_columns,
    ),
    "masked_columns": (f"{_COLUMN}, masking_function nvarchar(4000)", rows.masked_columns),
    "indexes": (_INDEX, keys.indexes),
    "index_columns": (
        "object_id int, index_id int, index_column_id int, column_id int, key_ordinal tinyint, "
        "partition_ordinal tinyint, is_descending_key bit, is_included_column bit, column_store_order_ordinal tinyint",
        keys.index_columns,
    ),
    "xml_indexes": (
        f"{_INDEX}, using_xml_index_id int, secondary_type char(1), secondary_type_desc nvarchar(60), "
        "xml_index_type tinyint, xml_index_type_description nvarchar(60), path_id int",
        keys.xml_indexes,
    ),
    "spatial_indexes": (
        f"{_INDEX}, spatial_index_type tinyint, spatial_index_type_desc nvarchar(60), tessellation_scheme sysname",
        keys.spatial_indexes,
    ),
    "fulltext_indexes": (
        "object_id int, unique_index_id int, fulltext_catalog_id int, is_enabled bit, change_tracking_state char(1)",
        keys.fulltext_indexes,
    ),
    "fulltext_index_columns": (
        "object_id int, column_id int, type_column_id int, language_id int, statistical_semantics int",
        keys.fulltext_index_columns,
    ),
    "key_constraints": (
        f"{_OBJECT}, unique_index_id int, is_system_named bit, is_enforced bit",
        keys.key_constraints,
    ),
    "foreign_keys": (
        f"{_OBJECT}, referenced_object_id int, key_index_id int, is_disabled bit, is_not_for_replication bit, "
        "is_not_trusted bit, delete_referential_action tinyint, delete_referential_action_desc nvarchar(60), "
        "update_referential_action tinyint, update_referential_action_desc nvarchar(60), is_system_named bit",
        keys.foreign_keys,
    ),
    "foreign_key_columns": (
        "constraint_object_id int, constraint_column_id int, parent_object_id int, parent_column_id int, "
        "referenced_object_id int, referenced_column_id int",
        keys.foreign_key_columns,
    ),
    "check_constraints": (
        f"{_OBJECT}, is_disabled bit, is_not_for_replication bit, is_not_trusted bit, parent_column_id int, "
        "definition nvarchar(max), uses_database_collation bit, is_system_named bit",
        keys.check_constraints,
    ),
    "default_constraints": (
        f"{_OBJECT}, parent_column_id int, definition nvarchar(max), is_system_named bit",
        keys.default_constraints,
    ),
    "partitions": (
        "partition_id bigint, object_id int, index_id int, partition_number int, hobt_id bigint, rows bigint, "
        "filestream_filegroup_id smallint, data_compression tinyint, data_compression_desc nvarchar(60)",
        keys.partitions,
    ),
    "allocation_units": (
        "allocation_unit_id bigint, type tinyint, type_desc nvarchar(60), container_id bigint, data_space_id int, "
        "total_pages bigint, used_pages bigint, data_pages bigint",
        keys.allocation_units,
    ),
    "extended_properties": (
        "class tinyint, class_desc nvarchar(60), major_id int, minor_id int, name sysname, value sql_variant",
        others.extended_properties,
    ),
    "sequences": (
        f"{_OBJECT}, start_value sql_variant, increment sql_variant, minimum_value sql_variant, "
        "maximum_value sql_variant, is_cycling bit, is_cached bit, cache_size int, system_type_id tinyint, "
        "user_type_id int, precision tinyint, scale tinyint, current_value sql_variant, is_exhausted bit, "
        "last_used_value sql_variant",
        others.sequences,
    ),
    "views": (
        f"{_OBJECT}, is_replicated bit, has_replication_filter bit, has_opaque_metadata bit, "
        "has_unchecked_assembly_data bit, with_check_option bit, is_date_correlation_view bit",
        others.views,
    ),
    "procedures": (f"{_OBJECT}, is_auto_executed bit, is_execution_replicated bit", others.procedures),
    "triggers": (
        "name sysname, object_id int, parent_class tinyint, parent_class_desc nvarchar(60), parent_id int, "
        "type char(2), type_desc nvarchar(60), create_date datetime, modify_date datetime, is_ms_shipped bit, "
        "is_disabled bit, is_not_for_replication bit, is_instead_of_trigger bit",
        others.triggers,
    ),
    "sql_modules": (_MODULE, others.sql_modules),
    "synonyms": (f"{_OBJECT}, base_object_name nvarchar(1035)", others.synonyms),
    "periods": (
        "name sysname, period_type tinyint, period_type_desc nvarchar(60), object_id int, start_column_id int, "
        "end_column_id int",
        others.periods,
    ),
    "data_spaces": (
        "name sysname, data_space_id int, type char(2), type_desc nvarchar(60), is_default bit",
        others.data_spaces,
    ),
    "xml_schema_collections": (
        "xml_collection_id int, schema_id int, principal_id int, name sysname, create_date datetime",
        others.xml_schema_collections,
    ),
    "database_principals": (
        "name sysname, principal_id int, type char(1), type_desc nvarchar(60), default_schema_name sysname, "
        "create_date datetime, is_fixed_role bit",
        others.database_principals,
    ),
    "database_permissions": (
        "class tinyint, class_desc nvarchar(60), major_id int, minor_id int, grantee_principal_id int, "
        "permission_name nvarchar(128), state char(1), state_desc nvarchar(60)",
        others.database_permissions,
    ),
    "server_principals": (
        "name sysname, principal_id int, type char(1), type_desc nvarchar(60), is_disabled bit",
        others.server_principals,
    ),
    "sql_expression_dependencies": (
        "referencing_id int, referencing_minor_id int, referenced_id int, referenced_schema_name sysname, "
        "referenced_entity_name sysname, is_schema_bound_reference bit",
        rows.nothing,
    ),
    "security_policies": (f"{_OBJECT}, is_enabled bit, is_schema_bound bit", rows.nothing),
    "security_predicates": (
        "object_id int, security_predicate_id int, target_object_id int, predicate_definition nvarchar(max), "
        "predicate_type int, predicate_type_desc nvarchar(60), operation int",
        rows.nothing,
    ),
    "edge_constraints": (f"{_OBJECT}, is_system_named bit", rows.nothing),
    "parameters": (
        "object_id int, name sysname, parameter_id int, system_type_id tinyint, user_type_id int, max_length smallint, "
        "precision tinyint, scale tinyint, is_output bit, has_default_value bit",
        others.parameters,
    ),
    "sysobjects": (
        "name sysname, id int, xtype char(2), uid smallint, parent_obj int, crdate datetime, type char(2), "
        "sysstat smallint",
        rows.sysobjects,
    ),
    "sysaltfiles": ("fileid smallint, dbid smallint, name sysname, filename nvarchar(260)", rows.sysaltfiles),
    "change_tracking_databases": (
        "database_id int, is_auto_cleanup_on bit, retention_period int, retention_period_units_desc nvarchar(60), "
        "retention_period_units tinyint, max_cleanup_version bigint",
        others.change_tracking_databases,
    ),
    "change_tracking_tables": (
        "object_id int, is_track_columns_updated_on bit, min_valid_version bigint, begin_version bigint, "
        "cleanup_version bigint",
        others.change_tracking_tables,
    ),
    "dm_exec_sessions": (
        "session_id smallint, login_time datetime, host_name nvarchar(128), program_name nvarchar(128), "
        "host_process_id int, client_version int, client_interface_name nvarchar(32), login_name nvarchar(128), "
        "nt_domain nvarchar(128), nt_user_name nvarchar(128), status nvarchar(30), total_elapsed_time int, "
        "last_request_start_time datetime, last_request_end_time datetime, is_user_process bit, "
        "language nvarchar(128), quoted_identifier bit, transaction_isolation_level smallint, lock_timeout int, "
        "row_count bigint, prev_error int, original_login_name nvarchar(128), database_id smallint, "
        "authenticating_database_id int, open_transaction_count int",
        running.sessions,
    ),
    "dm_exec_requests": (
        "session_id smallint, request_id int, start_time datetime, status nvarchar(30), command nvarchar(32), "
        "sql_handle varbinary(64), database_id smallint, user_id int, blocking_session_id smallint, "
        "wait_type nvarchar(60), wait_time int, last_wait_type nvarchar(60), wait_resource nvarchar(256), "
        "open_transaction_count int, total_elapsed_time int, transaction_isolation_level smallint, lock_timeout int, "
        "row_count bigint, prev_error int, nest_level int",
        running.requests,
    ),
    "dm_os_waiting_tasks": (
        "session_id smallint, exec_context_id int, wait_duration_ms bigint, wait_type nvarchar(60), "
        "blocking_session_id smallint, resource_description nvarchar(3072)",
        running.waiting_tasks,
    ),
    "dm_tran_locks": (
        "resource_type nvarchar(60), resource_subtype nvarchar(60), resource_database_id int, "
        "resource_description nvarchar(256), resource_associated_entity_id bigint, request_mode nvarchar(60), "
        "request_type nvarchar(60), request_status nvarchar(60), request_session_id int, "
        "request_owner_type nvarchar(60), request_owner_id bigint",
        running.locks,
    ),
    "dm_tran_session_transactions": (
        "session_id int, transaction_id bigint, is_user_transaction bit, is_local bit, open_transaction_count int",
        running.session_transactions,
    ),
    "dm_tran_active_transactions": (
        "transaction_id bigint, name nvarchar(32), transaction_begin_time datetime, transaction_type int, "
        "transaction_state int",
        running.active_transactions,
    ),
    "spt_values": ("name nvarchar(35), number int, type nchar(3), low int, high int, status int", rows.spt_values),
    "sysdatabases": ("name sysname, dbid smallint, crdate datetime, cmptlevel tinyint", rows.sysdatabases),
}
for _alias, _view in (
    ("all_views", "views"),
    ("all_sql_modules", "sql_modules"),
):
    _VIEWS[_alias] = _VIEWS[_view]

_INFORMATION: dict[str, tuple[str, Rows]] = {
    "TABLES": (
        "TABLE_CATALOG nvarchar(128), TABLE_SCHEMA sysname, TABLE_NAME sysname, TABLE_TYPE varchar(10)",
        others.information_tables,
    ),
    "COLUMNS": (
        "TABLE_CATALOG nvarchar(128), TABLE_SCHEMA nvarchar(128), TABLE_NAME sysname, COLUMN_NAME sysname, "
        "ORDINAL_POSITION int, COLUMN_DEFAULT nvarchar(4000), IS_NULLABLE varchar(3), DATA_TYPE nvarchar(128), "
        "CHARACTER_MAXIMUM_LENGTH int, CHARACTER_OCTET_LENGTH int, NUMERIC_PRECISION tinyint, NUMERIC_SCALE int, "
        "DATETIME_PRECISION smallint, CHARACTER_SET_NAME sysname, COLLATION_NAME sysname",
        others.information_columns,
    ),
    "SCHEMATA": (
        "CATALOG_NAME nvarchar(128), SCHEMA_NAME nvarchar(128), SCHEMA_OWNER nvarchar(128)",
        others.information_schemata,
    ),
}
_ANCESTORS = ("sysobjects", "sysdatabases", "sysaltfiles", "spt_values")
VOLATILE = frozenset(
    (
        *("databases", "partitions", "allocation_units", "identity_columns", "sequences", "sysdatabases"),
        *("change_tracking_databases", "change_tracking_tables"),
        *(key for key in _VIEWS if key.startswith("dm_")),
    )
)
"""Views whose rows change without the catalog's version."""
_UNLOCKED = frozenset(
    ("databases", "sysdatabases", "spt_values", "sysaltfiles", "server_principals", "change_tracking_databases")
)
"""Views of the server, which DDL in a database does not lock."""


def _all_objects(session: CatalogSession) -> Iterator[Mapping[str, Any]]:
    yield from rows.objects(session)
    for key in _VIEWS:
        yield rows.system_object(key, view_id(("sys", key)) or 0)


def _all_columns(session: CatalogSession) -> Iterator[Mapping[str, Any]]:
    yield from rows.columns(session)
    for key, (spec, _) in _VIEWS.items():
        number = view_id(("sys", key)) or 0
        for column_id, (name, kind) in enumerate(view_columns(spec), 1):
            yield rows.system_column(number, name, column_id, kind)


_VIEWS["all_objects"] = (_OBJECT, _all_objects)
_VIEWS["all_columns"] = (_COLUMN, _all_columns)
_KEYS = [*_VIEWS, *(f"information_{name.lower()}" for name in _INFORMATION)]


@lru_cache(maxsize=256)
def view_columns(spec: str) -> tuple[tuple[str, SqlType], ...]:
    """The columns of a catalog view from their list."""
    parser = TokenParser(spec)
    found: list[tuple[str, SqlType]] = []
    while not parser.at_end:
        name = parser.take().value
        kind = parser.type_name()
        short = kind.name[-1]
        found.append((name, st.make("nvarchar", 128) if short == "sysname" else st.make(short, *kind.arguments)))
        parser.accept(",")
    return tuple(found)


def find_view(name: n.Name) -> tuple[str, str, Rows] | None:
    """The catalog view of a name: its key, its column list and its rows."""
    schema = name[-2].lower() if len(name) > 1 else ""
    short = name[-1].lower()
    if schema == "sys" and short in _VIEWS:
        return short, *_VIEWS[short]
    if schema == "information_schema" and name[-1].upper() in _INFORMATION:
        return f"information_{short}", *_INFORMATION[name[-1].upper()]
    if schema in ("", "dbo") and short in _ANCESTORS:
        return short, *_VIEWS[short]
    return None


def view_id(name: n.Name) -> int | None:
    """The object id of a catalog view, None when the name is none; they are negative, as in SQL Server."""
    view = find_view(name)
    return None if view is None else -1 - _KEYS.index(view[0])


def system_view(session: CatalogSession, name: n.Name) -> tuple[str, list[tuple[str, SqlType]]] | None:
    """A catalog view as a relation DuckDB can read, and its columns; None when the name is none."""
    found = find_view(name[-2:] if len(name) > 1 else name)
    if found is None:
        return None
    key, spec, make_rows = found
    columns = view_columns(spec)
    with session.in_database(name[-3] if len(name) > 2 and name[-3] else None):
        database = session.database
        if key not in _UNLOCKED and not key.startswith("dm_"):
            session.await_catalog(database)
        relation = f"sys_{database.database_id}_{key}"
        stamp = (-1, -1) if key in VOLATILE else (database.version, session.server.rights_version)
        if stamp[0] < 0 or session.registered.get(relation) != stamp:
            session.register_rows(relation, columns, list(make_rows(session)))
            session.registered[relation] = stamp
    return relation, list(columns)


def storage_value(value: Any, kind: SqlType) -> Any:
    """A value of a catalog row in the form Arrow takes into DuckDB."""
    if value is None:
        return 0 if kind.name == "bit" else None
    if kind.name == "datetime":
        return ticks_of(value)
    if kind.name in st.TEXTUAL:
        return to_duckdb(str(value), "s")
    if kind.storage == "BLOB":
        return value
    return int(value)
