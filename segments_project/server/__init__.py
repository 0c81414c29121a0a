"""The processes of an installation, and bundled servers."""
