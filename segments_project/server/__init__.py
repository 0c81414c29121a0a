"""The processes of an installation, and the servers that come as wheels."""
