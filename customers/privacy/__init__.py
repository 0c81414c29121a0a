"""Personal data: export, erasure, texts that mention a person, and masks of contact data."""
