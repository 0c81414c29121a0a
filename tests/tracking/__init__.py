"""Messages of tracking clients: from the request to customers, orders and events."""
