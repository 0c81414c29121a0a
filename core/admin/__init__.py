"""What all admin pages share, and the admin of staff, API keys, failed logins and the audit log."""

from . import activity, api_keys, failed_logins, staff

__all__ = ["activity", "api_keys", "failed_logins", "staff"]
