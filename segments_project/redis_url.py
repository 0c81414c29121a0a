"""URLs of Redis: redis://, rediss://, or unix:// for a socket. Celery has its own form for sockets."""

from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit


def validate_redis_url(url: str) -> str:
    """Return the URL if redis-py can use it. Raises ValueError."""
    parts = urlsplit(url)
    has_location = parts.path.strip("/") if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in ("redis", "rediss", "unix") or not has_location:
        raise ValueError(
            f"{parts.scheme}://… is not a Redis URL such as redis://127.0.0.1:6379/0"
            " or unix:///run/valkey/valkey.sock?db=0"
        )
    return url


def celery_broker_url(url: str) -> str:
    """Return the URL in Celery's form. Raises ValueError."""
    parts = urlsplit(validate_redis_url(url))
    if parts.scheme != "unix":
        return url
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    user = unquote(parts.username or query.get("username", ""))
    password = unquote(parts.password or "") or query.get("password", "")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    return f"redis+socket://{login}{parts.path}?{urlencode({'virtual_host': query.get('db', '0')})}"


def redis_url_with_database(url: str, number: int) -> str:
    """Return the URL of another database of the same Redis."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        # Not geturl(), which leaves out the slashes before an empty host.
        return f"unix://{parts.netloc}{parts.path}?{urlencode({**query, 'db': number})}"
    return parts._replace(path=f"/{number}").geturl()
