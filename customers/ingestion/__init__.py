"""Writing records: ``writer`` is the only entry."""
