"""What a migration costs, taken apart: ``python -m benchmarks`` (see docs/performance.md)."""
