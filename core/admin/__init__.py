"""What every page of the admin shares, and the admin of staff, keys and the audit log."""

from . import activity, api_keys, failed_logins, staff

__all__ = ["activity", "api_keys", "failed_logins", "staff"]
