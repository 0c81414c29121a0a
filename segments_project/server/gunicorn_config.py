"""How gunicorn serves the web application: `gunicorn --config python:segments_project.server.gunicorn_config …`."""

worker_class = "segments_project.server.buffering_worker.BufferingWorker"
workers = 2
threads = 4
worker_connections = 4_000  # of each worker; who sends slowly takes no thread
umask = 0o077  # what it writes is for its owner only
sendfile = False  # a file, too, goes to a client in its own time
control_socket_disable = True
