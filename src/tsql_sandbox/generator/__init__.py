"""A StackOverflow2010-shaped database, made up, and its rows as ready tokens."""
