"""Keeping the target equal to a source that goes on changing: positions, passes, apply, compare and repair."""
