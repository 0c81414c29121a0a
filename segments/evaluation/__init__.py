"""Evaluating rules: contexts, matching customers, compiled rules, counts and explanations."""
