"""What the chaos tests share."""

from __future__ import annotations

import os
from typing import Any

LONG = bool(os.environ.get("CHAOS_LONG"))
"""Set by ``make chaos``: more rows, more kills, more cases."""
TABLES = ["by_int", "by_two", "by_uuid", "by_text", "wide"]
"""Tables with a key."""
HEAP = "heap"
"""The one without."""
SETTINGS: dict[str, Any] = {
    "chunk_size": 150,
    "large_table_threshold": 1000,
    "min_rows_per_partition": 400,
    "max_partitions": 4,
    "workers": 3,
    "parallel_readers": 3,
}
"""Small chunks and several ranges per table."""
