"""The demo shop: its history, its catalogue, and the visitors it gets while it is served."""
