"""The HTTP API of segments, below ``/api/v1/``."""
