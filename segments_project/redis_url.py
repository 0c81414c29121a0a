"""How Redis is addressed: redis://, rediss://, or unix:// for a socket, which Celery spells in its own way."""

from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit


def validate_redis_url(url: str) -> str:
    """Return an address as redis-py reads it; raises ValueError where it is none."""
    parts = urlsplit(url)
    has_place = parts.path.strip("/") if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in ("redis", "rediss", "unix") or not has_place:
        raise ValueError(
            f"{parts.scheme}://… is no address of a Redis, such as redis://127.0.0.1:6379/0"
            " or unix:///run/valkey/valkey.sock?db=0"
        )
    return url


def celery_broker_url(url: str) -> str:
    """Return the same address as Celery reads it; raises ValueError where it is none."""
    parts = urlsplit(validate_redis_url(url))
    if parts.scheme != "unix":
        return url
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    user = unquote(parts.username or query.get("username", ""))
    password = unquote(parts.password or "") or query.get("password", "")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    return f"redis+socket://{login}{parts.path}?{urlencode({'virtual_host': query.get('db', '0')})}"


def redis_url_with_database(url: str, number: int) -> str:
    """Return the address of another database of the same Redis."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        # Not geturl(), which leaves out the slashes before an empty host.
        return f"unix://{parts.netloc}{parts.path}?{urlencode({**query, 'db': number})}"
    return parts._replace(path=f"/{number}").geturl()
