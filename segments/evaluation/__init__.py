"""Evaluating rules: the context they are evaluated with, whom they match, and their compiled form."""
