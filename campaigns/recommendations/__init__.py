"""Products: learned from orders and events, and recommended to customers."""
