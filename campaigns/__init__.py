"""Campaigns for the customers of a segment: journeys, messages and results."""
