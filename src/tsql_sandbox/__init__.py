"""A TDS server over DuckDB that stands in for SQL Server in tests, benchmarks and demonstrations.

It is not SQL Server: it knows the T-SQL that scripts of tables and data and the queries of this project need, and
answers everything else with error 40517. `SandboxServer` runs it in a process of its own, `server.TdsServer` inside
this one; both listen on the loopback interface only. See README.md beside this file.
"""

from __future__ import annotations

from .faults import Fault
from .process import SandboxServer

__all__ = ["Fault", "SandboxServer"]
