"""Comparing source and target: exact counts, or digests of the contents. The way in is `jobs.validate`."""
