"""Moving rows: which ranges there are, who carries them, and what is known about how far they are."""
