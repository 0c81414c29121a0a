"""What goes beyond Django's ORM: databases, locks and leases."""
