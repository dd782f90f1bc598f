"""From the source catalog to the target schema: names, types, expressions. Pure functions, no I/O."""
