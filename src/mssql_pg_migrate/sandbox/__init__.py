"""A TDS server over DuckDB that stands in for SQL Server in the demo, the tests and the benchmarks.

It is not SQL Server: it knows the T-SQL that scripts of tables and data and the queries of this project need, and
answers everything else with error 40517. `SandboxServer` runs it in a process of its own, `server.TdsServer` inside
this one; both listen on the loopback interface only. See docs/sandbox.md.
"""

from __future__ import annotations

from .faults import Fault
from .process import SandboxServer

__all__ = ["Fault", "SandboxServer"]
