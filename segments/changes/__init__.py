"""Membership changes: the change log, member streams, and how long they are kept."""
