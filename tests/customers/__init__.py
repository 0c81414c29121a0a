"""Records, ingestion and facts."""
