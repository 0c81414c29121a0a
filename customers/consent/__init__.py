"""Consent: statements, what follows from them for each customer, and suppressed addresses."""
