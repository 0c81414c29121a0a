"""Membership changes: the change log, member streams, retention, and export and erasure."""
