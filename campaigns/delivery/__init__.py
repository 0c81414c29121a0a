"""Deliveries: planned, checked against the sending policy, and sent once."""
