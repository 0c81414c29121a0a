"""The demo shop: its catalogue, its history, and simulated visitors."""
