"""Staff: roles, invitations, passwords, logins. Roles and schedules are declared in code and installed once."""
