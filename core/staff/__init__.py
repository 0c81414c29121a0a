"""What the roles of staff and the schedules of background work have in common: declared in code, installed once."""
