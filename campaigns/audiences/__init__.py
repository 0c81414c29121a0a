"""Audiences: files of a segment's members for ad platforms."""
