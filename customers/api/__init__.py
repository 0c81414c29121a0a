"""The shop's own records by HTTP: customers, orders and events come in, and one customer is read, or erased."""
