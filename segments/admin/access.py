"""Permissions for the pages that this app adds to the admin."""

VIEW_SEGMENT = "segments.view_segment"
ADD_SEGMENT = "segments.add_segment"
CHANGE_SEGMENT = "segments.change_segment"
VIEW_REFRESH = "segments.view_refresh"
VIEW_CUSTOMER = "customers.view_customer"
VIEW_ENDPOINT = "segments.view_endpoint"
