"""The pages of the lifecycle: its stages, who went from which to which, and how many come back."""
