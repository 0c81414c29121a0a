"""Customers: what the shop sends about them, and the facts that follow."""
