"""Writing records: ``writer.ingest`` is the only entry."""
