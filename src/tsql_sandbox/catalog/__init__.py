"""What the sandbox knows of its databases, and the catalog views that show it."""
