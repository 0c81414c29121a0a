"""Identity resolution: which ids belong to one person, and merging their profiles."""
