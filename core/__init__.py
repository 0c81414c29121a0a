"""What all apps share. It knows no customer, segment or campaign."""
