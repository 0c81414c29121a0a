"""Requests and responses: client addresses, limits, headers, error pages."""
