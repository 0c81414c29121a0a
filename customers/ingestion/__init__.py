"""How records are written: rows are checked, staged, and merged in bulk."""
