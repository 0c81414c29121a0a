"""Segments: rules, members, and explanations."""
