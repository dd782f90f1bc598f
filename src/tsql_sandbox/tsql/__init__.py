"""T-SQL as text and trees: tokens, syntax, stored definitions."""
