"""Comparing source and target: exact counts, or digests of the contents. ``validate.py`` is the way in."""
