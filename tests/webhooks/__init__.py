"""Webhooks, received by a real server on this machine."""
