"""Customers: what the shop told us, and what follows from it."""
