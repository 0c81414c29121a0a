FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /srv/shop
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY manage.py ./
COPY segments_project segments_project
COPY core core
COPY customers customers
COPY segments segments
COPY campaigns campaigns
# Volumes that web and worker share, owned by their user: uploaded files, and messages if there is no mail server.
RUN mkdir --mode=700 /srv/imports data && chown nobody /srv/imports data
ENV IMPORTS_DIR=/srv/imports
USER nobody
EXPOSE 8000
CMD ["gunicorn", "--config=python:segments_project.server.gunicorn_config", "--bind=0.0.0.0:8000", "segments_project.wsgi"]
