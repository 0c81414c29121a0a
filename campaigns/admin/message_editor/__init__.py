"""The pages and requests of the message editor, previews and checks before a start."""
