"""The API of records: sending customers, orders and events, and reading, exporting or erasing one customer."""
