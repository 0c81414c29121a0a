"""What must hold for every filter there is, and for those to come."""
