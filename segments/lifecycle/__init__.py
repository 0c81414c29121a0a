"""The lifecycle of the shop: editing its stages, and who went from which stage to which between two days."""
