"""The history of segments by their present rules, from today's records: also from before a segment existed."""
