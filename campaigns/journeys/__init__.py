"""Journeys: who starts a campaign, when each step is due, and what comes next."""
