"""Segments over HTTP: what API clients read, change and follow, below ``/api/v1/``."""
