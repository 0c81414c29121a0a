"""The people of a segment: a table with columns to choose, its filters, the selected people, and files as seen."""
