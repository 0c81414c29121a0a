"""Segments: who belongs where, and why."""
