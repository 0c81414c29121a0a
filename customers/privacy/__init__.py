"""Personal data: export, erasure, tombstones, and masks for staff who may not see contact data."""
