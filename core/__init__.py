"""What every app stands on, and what knows no customer, segment or campaign."""
