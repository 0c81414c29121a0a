"""The configuration of gunicorn: `gunicorn --config python:segments_project.server.gunicorn_config …`."""

worker_class = "segments_project.server.buffering_worker.BufferingWorker"
workers = 2
threads = 4
worker_connections = 4_000  # per worker; slow clients take no thread
umask = 0o077  # files are for their owner only
sendfile = False  # the worker sends files to slow clients, too
control_socket_disable = True
