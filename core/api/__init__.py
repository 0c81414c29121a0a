"""What every API endpoint shares: keys, authentication, errors, pages, idempotency."""
