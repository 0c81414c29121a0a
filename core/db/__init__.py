"""Databases beyond Django's ORM: SQL, time limits, locks and leases."""
