"""The settings. Only this module reads the environment. Every variable has a default.

SECRET_KEY, SECRET_KEY_FALLBACKS, DEBUG, ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS, BEHIND_HTTPS_PROXY, PUBLIC_URL,
DATABASE_URL, REDIS_URL, TIME_ZONE, SHOP_CURRENCY, SHOP_NAME, SHOP_URL, SHOP_ADDRESS, SHOP_LOGO, SHOP_COLOUR,
SHOP_DOUBLE_OPT_IN, PRODUCT_HOSTS, IMPORTS_DIR, IMPORTS_KEPT_FOR, IMPORT_LEASE, REFRESH_LEASE, HISTORY_LEASE,
FIGURES_MAX_AGE, STATEMENT_LIMIT, INBOX_DRAINS, COUNT_PATIENCE, SEARCH_PATIENCE, CHANGES_KEPT_FOR, API_RATES,
VISITOR_ORIGINS, WEBHOOK_ALLOWED_NETWORKS, WEBHOOK_LOG_KEPT_FOR, CAMPAIGN_MESSAGES_A_WEEK, CAMPAIGN_MESSAGES_VALID_FOR,
CAMPAIGN_LEASE, CAMPAIGN_CREDIT_DAYS, COUPONS_UNCONFIRMED_AN_HOUR, EMAIL_URL, EMAIL_BACKEND, EMAIL_TIMEOUT, ANYMAIL,
DEFAULT_FROM_EMAIL, LOG_LEVEL, LOG_JSON.
"""

import os
import re
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

import environ
from django.core.exceptions import ImproperlyConfigured

from . import __version__, admin_theme, logging_config, redis_url, secret_key

# Files contain personal data: databases, uploads, messages, rejected rows. All files (0600) and folders (0700) that our
# processes create are for their owner only.
os.umask(0o077)

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = BASE_DIR / "data"

env = environ.Env()

DEBUG = env.bool("DEBUG", default=False)
# `serve` and containers request /healthz under these names.
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *env.list("ALLOWED_HOSTS", default=[])]
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Only for a proxy that sets X-Forwarded-Proto itself and appends the client's address to X-Forwarded-For: these headers
# are trusted.
BEHIND_HTTPS_PROXY = env.bool("BEHIND_HTTPS_PROXY", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_HTTPS_PROXY
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_HTTPS_PROXY else None
SECURE_SSL_REDIRECT = BEHIND_HTTPS_PROXY
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]  # requested locally by plain HTTP
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if BEHIND_HTTPS_PROXY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = BEHIND_HTTPS_PROXY
# HSTS preload applies to whole domains, which the shop decides about.
SILENCED_SYSTEM_CHECKS = ["security.W021"]

# -- The shop

TIME_ZONE = env.str("TIME_ZONE", default="UTC")
try:
    ZoneInfo(TIME_ZONE)
except (KeyError, ValueError, OSError) as error:
    raise ImproperlyConfigured(
        f"TIME_ZONE: {TIME_ZONE!r} is not a time zone such as Europe/Berlin"
    ) from error
USE_TZ = True
LANGUAGE_CODE = "en"

SHOP_CURRENCY = env.str("SHOP_CURRENCY", default="EUR")
if not re.fullmatch("[A-Z]{3}", SHOP_CURRENCY):
    raise ImproperlyConfigured(f"SHOP_CURRENCY: {SHOP_CURRENCY!r} is not a currency code such as EUR")

# The public URL of this installation, for links in messages. By default `serve --port` and `demo --port` use their own.
PUBLIC_URL = (env.str("PUBLIC_URL", default="") or "http://127.0.0.1:8000").rstrip("/")
PUBLIC_URL_IS_CONFIGURED = bool(env.str("PUBLIC_URL", default=""))
if not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", PUBLIC_URL):
    raise ImproperlyConfigured(
        f"PUBLIC_URL: {PUBLIC_URL!r} is not a URL such as https://segments.shop.example"
    )
ALLOWED_HOSTS.append(urlsplit(PUBLIC_URL).hostname or "")

# A message is credited with orders up to this number of days after it reached the customer.
CAMPAIGN_CREDIT_DAYS = env.float("CAMPAIGN_CREDIT_DAYS", default=7)
if not 0 < CAMPAIGN_CREDIT_DAYS <= 365:
    raise ImproperlyConfigured("CAMPAIGN_CREDIT_DAYS: must be more than 0 and at most 365 days")
# For messages: the shop's name, the URL of its home page, and its postal address.
SHOP_NAME = env.str("SHOP_NAME", default="The shop")
SHOP_URL = env.str("SHOP_URL", default="") or "http://127.0.0.1:8000/"
SHOP_URL_IS_CONFIGURED = bool(env.str("SHOP_URL", default=""))
if not re.match("https?://[^/]", SHOP_URL):
    raise ImproperlyConfigured(f"SHOP_URL: {SHOP_URL!r} is not a URL such as https://shop.example/")
SHOP_ADDRESS = env.str("SHOP_ADDRESS", default="")
SHOP_LOGO = env.str("SHOP_LOGO", default="")
if SHOP_LOGO and not re.match("https?://[^/]", SHOP_LOGO):
    raise ImproperlyConfigured(f"SHOP_LOGO: {SHOP_LOGO!r} is not a URL such as https://shop.example/logo.png")
SHOP_COLOUR = env.str("SHOP_COLOUR", default="") or "#1f5fbf"
if not re.fullmatch("#[0-9a-fA-F]{6}", SHOP_COLOUR):
    raise ImproperlyConfigured(f"SHOP_COLOUR: {SHOP_COLOUR!r} is not a colour such as #1f5fbf")
# Other hosts that may serve product pages and images. Events contain these URLs, and anybody can send events.
PRODUCT_HOSTS = env.list("PRODUCT_HOSTS", default=[])

# Days after which the file of a finished import is deleted.
IMPORTS_KEPT_FOR = env.float("IMPORTS_KEPT_FOR", default=7)
# Seconds without a heartbeat after which an import is started again.
IMPORT_LEASE = env.float("IMPORT_LEASE", default=60)

# Seconds without a heartbeat after which a refresh is considered dead.
REFRESH_LEASE = env.float("REFRESH_LEASE", default=30)
# Seconds without a heartbeat after which another worker goes on with a history.
HISTORY_LEASE = env.float("HISTORY_LEASE", default=30)
# Seconds that population statistics (medians, percentiles, RFM) may be old, for very large shops. 0 keeps them exact.
FIGURES_MAX_AGE = env.float("FIGURES_MAX_AGE", default=0)
# Seconds that a web process spends on counting a rule before a worker takes over. 0 leaves it to the worker.
COUNT_PATIENCE = env.float("COUNT_PATIENCE", default=2)
# Seconds after which a search for customers returns what it has found.
SEARCH_PATIENCE = env.float("SEARCH_PATIENCE", default=2)

# Days that the change log is kept. A reader that is further behind starts again. Daily counts are kept forever.
CHANGES_KEPT_FOR = env.float("CHANGES_KEPT_FOR", default=400)
if CHANGES_KEPT_FOR < 1:
    raise ImproperlyConfigured(f"CHANGES_KEPT_FOR: {CHANGES_KEPT_FOR:g} days are too few; set at least 1")

# Private networks that webhooks may use, such as 10.1.2.0/24, in addition to public addresses.
try:
    WEBHOOK_ALLOWED_NETWORKS = [ip_network(text) for text in env.list("WEBHOOK_ALLOWED_NETWORKS", default=[])]
except ValueError as error:
    raise ImproperlyConfigured(
        f"WEBHOOK_ALLOWED_NETWORKS: {error}; write it as 10.1.2.0/24,fd00::/8"
    ) from error
# Days that webhook messages and their responses are kept.
WEBHOOK_LOG_KEPT_FOR = env.float("WEBHOOK_LOG_KEPT_FOR", default=14)
if not 0 <= WEBHOOK_LOG_KEPT_FOR <= 30:
    raise ImproperlyConfigured(
        "WEBHOOK_LOG_KEPT_FOR: must be 0 to 30 days, since messages can name erased customers"
    )

# Whether a newsletter subscription from a browser must be confirmed by e-mail. Without it, anybody can subscribe any
# address.
SHOP_DOUBLE_OPT_IN = env.bool("SHOP_DOUBLE_OPT_IN", default=True)
# The frequency cap: campaign e-mails per customer in seven days.
CAMPAIGN_MESSAGES_A_WEEK = env.int("CAMPAIGN_MESSAGES_A_WEEK", default=3)
# Hours after which a delayed message (a pause, an outage) is not sent any more.
CAMPAIGN_MESSAGES_VALID_FOR = env.float("CAMPAIGN_MESSAGES_VALID_FOR", default=24)
# Coupon codes per pool and hour for all visitors who are known only from browsers.
COUPONS_UNCONFIRMED_AN_HOUR = env.int("COUPONS_UNCONFIRMED_AN_HOUR", default=50)
if COUPONS_UNCONFIRMED_AN_HOUR < 0:
    raise ImproperlyConfigured("COUPONS_UNCONFIRMED_AN_HOUR: must be 0 (none) or more")
# Seconds that a worker has for the messages it claimed. After that, another one sends them.
CAMPAIGN_LEASE = env.float("CAMPAIGN_LEASE", default=300)

# -- The database

DATABASE: dict[str, Any] = env.db_url_config(
    env.str("DATABASE_URL", default="") or f"sqlite:///{quote(str(DATA_DIR / 'shop.sqlite3'))}"
)
SQLITE_FILE: Path | None = None
if DATABASE["ENGINE"] == "django.db.backends.sqlite3":
    DATABASE["OPTIONS"] = {
        # Lock at the start: otherwise, of two transactions that read and then write, one fails instead of waiting.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # Readers and the writer do not block each other. A power failure can lose only the latest commits.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        **DATABASE.get("OPTIONS", {}),
    }
    if DATABASE["NAME"] != ":memory:":
        SQLITE_FILE = Path(DATABASE["NAME"]).absolute()
        SQLITE_FILE.parent.mkdir(parents=True, exist_ok=True)
        DATABASE["NAME"] = str(SQLITE_FILE)
        # The test database is a file, too, so that a worker process of a test can open it.
        DATABASE["TEST"] = {"NAME": str(SQLITE_FILE.with_name(f"test_{SQLITE_FILE.name}"))}
else:
    if DATABASE["ENGINE"] == "django.db.backends.postgresql":
        DATABASE["ENGINE"] = "core.db.postgresql"
    DATABASE.setdefault("CONN_MAX_AGE", 60)
    DATABASE.setdefault("CONN_HEALTH_CHECKS", True)
    # JIT compilation takes longer than the queries of a refresh. A statement whose client is gone ends within
    # seconds, and releases its locks. Where tables are distributed, a join sends the rows of temporary tables to the
    # customers' machines, never the other way round; other databases know no such setting and ignore it.
    # Options of the URL come after these, so they win.
    DATABASE.setdefault("OPTIONS", {})
    DATABASE["OPTIONS"]["options"] = " ".join(
        (
            "-c jit=off -c client_connection_check_interval=5s -c citus.local_table_join_policy=prefer-local",
            DATABASE["OPTIONS"].get("options", ""),
        )
    ).strip()
    DATABASE["OPTIONS"].setdefault("connect_timeout", 5)  # seconds, after which the error page is shown
DATABASES = {"default": DATABASE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# For uploaded files: on a disk that web and worker processes share.
IMPORTS_DIR = Path(
    env.str("IMPORTS_DIR", default="") or (SQLITE_FILE.parent if SQLITE_FILE else DATA_DIR) / "imports"
)

SECRET_KEY = env.str("SECRET_KEY", default="") or secret_key.load_or_create_secret_key(
    SQLITE_FILE.parent if SQLITE_FILE else DATA_DIR
)

# Former keys, as long as links signed with them must work.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])

# Seconds after which a statement of background work is ended and repeated with a smaller batch (PostgreSQL). 0 for no
# limit.
STATEMENT_LIMIT = env.float("STATEMENT_LIMIT", default=60)
if STATEMENT_LIMIT < 0:
    raise ImproperlyConfigured("STATEMENT_LIMIT: must be 0 (no limit) or more seconds")

# How many workers process tracked messages side by side while many wait (PostgreSQL).
INBOX_DRAINS = env.int("INBOX_DRAINS", default=2)
if not 1 <= INBOX_DRAINS <= 16:
    raise ImproperlyConfigured("INBOX_DRAINS: must be 1 to 16")

# -- Redis and Celery

# If REDIS_URL is not set, `serve` and `demo` start a Redis of their own.
REDIS_IS_CONFIGURED = bool(env.str("REDIS_URL", default=""))
REDIS_URL = env.str("REDIS_URL", default="") or "redis://127.0.0.1:6379/0"

try:
    CELERY_BROKER_URL = redis_url.celery_broker_url(REDIS_URL)
except ValueError as error:
    raise ImproperlyConfigured(f"REDIS_URL: {error}") from error
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A message that is not acknowledged in this time goes to another worker, so a task with its countdown must be shorter.
# CELERY_TASK_TIME_LIMIT enforces it.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3 * 3600,
    "socket_connect_timeout": 5,  # requests must not wait for an unavailable Redis
}
# A queue with its own worker for long counts of rules, flows and histories, so that nothing else waits for them. The
# worker has two processes, and one history is computed at a time, so counts do not wait for it.
COUNTS_QUEUE = "counts"
CELERY_TASK_ROUTES = {
    "segments.tasks.count_rule": {"queue": COUNTS_QUEUE},
    "segments.tasks.compute_flow": {"queue": COUNTS_QUEUE},
    "segments.tasks.compute_histories": {"queue": COUNTS_QUEUE},
}
CELERY_TASK_TIME_LIMIT = 2 * 3600
CELERY_TASK_ACKS_LATE = True  # the task of a dead worker runs again, so every task must be idempotent
CELERY_TASK_IGNORE_RESULT = True  # our models record results
CELERY_RESULT_EXPIRES = None  # otherwise beat adds a schedule to clean up results
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # tasks are long and must not wait while another process is idle
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = TIME_ZONE

# Short-lived data that web processes and workers share. It may be lost at any time.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "segments",
        "OPTIONS": {"serializer": "core.cache_serializer.JSONSerializer"},
    }
}

# -- E-mail

# smtp+tls://user:password@mail.example:587; if it is not set, messages are written to files next to the database.
_MAIL_DIR = (SQLITE_FILE.parent if SQLITE_FILE else DATA_DIR) / "outbox"
_MAIL = env.email_url_config(env.str("EMAIL_URL", default="") or f"filemail:///{quote(str(_MAIL_DIR))}")
EMAIL_BACKEND = env.str("EMAIL_BACKEND", default="") or _MAIL["EMAIL_BACKEND"]
EMAIL_HOST, EMAIL_PORT = _MAIL["EMAIL_HOST"] or "localhost", _MAIL["EMAIL_PORT"] or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _MAIL["EMAIL_HOST_USER"] or "", _MAIL["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS, EMAIL_USE_SSL = _MAIL.get("EMAIL_USE_TLS", False), _MAIL.get("EMAIL_USE_SSL", False)
# Also with a mail server: older messages may be there, and erasing a customer deletes them.
EMAIL_FILE_PATH = _MAIL["EMAIL_FILE_PATH"] or str(_MAIL_DIR)
EMAIL_TIMEOUT = env.float("EMAIL_TIMEOUT", default=30)
# Settings of django-anymail, such as {"MAILGUN_API_KEY": "…"}.
ANYMAIL = env.json("ANYMAIL", default={})
# Events of providers suppress addresses. Without a secret in the webhook's URL, anybody could send them.
RECEIVES_PROVIDER_EVENTS = bool(find_spec("anymail") and ANYMAIL.get("WEBHOOK_SECRET"))

# The sender, such as The Shop <news@shop.example>
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="shop@localhost")

# -- The web application

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "segments_project.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",  # FORM_RENDERER looks here for Django's own widgets
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_celery_beat",
    "django_structlog",
    "axes",
    "core",
    "customers",
    "segments",
    "campaigns",
    "segments_project",  # for its commands
]
if find_spec("anymail"):  # receives bounces and complaints from providers
    INSTALLED_APPS.append("anymail")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "core.http.content_security_policy.ContentSecurityPolicyMiddleware",
    "core.http.encoded_paths.EncodedPathMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.http.shop_time.ShopTimeMiddleware",
    "corsheaders.middleware.CorsMiddleware",  # before everything that may respond
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "core.http.body_limits.BodyLimitMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "core.http.request_logging.RequestLogMiddleware",
    "axes.middleware.AxesMiddleware",
]

CSRF_FAILURE_VIEW = "core.api.error_views.csrf_failure"

ROOT_URLCONF = "segments_project.urls"
WSGI_APPLICATION = "segments_project.wsgi.application"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "segments_project" / "templates"],  # before the templates of packages
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"  # finds widget templates in apps

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

PASSWORD_RESET_TIMEOUT = 3 * 24 * 3600  # also of invitations

# -- Failed logins

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: it refuses locked-out users
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# By user name and IP address, so that a stranger elsewhere cannot lock somebody out.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the announced time stays
AXES_CLIENT_IP_CALLABLE = "core.http.client_ip.client_ip"
AXES_LOCKOUT_CALLABLE = "core.staff.login_throttling.lockout_response"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False  # core.admin.failed_logins replaces it
AXES_VERBOSE = False

# Static files are served from the packages, so collectstatic is not needed, not even in production.
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
STATICFILES_DIRS = [BASE_DIR / "segments_project" / "static"]  # before the files of packages

# -- The API

# Requests per minute and key or user (visitors: and IP address; guesses, strangers: per IP address). 0 for no limit.
API_RATES: dict[str, int] = {
    "reading": 6_000,
    "writing": 600,
    "ingest": 6_000,
    "costly": 60,
    "visitors": 1_200,
    "browsers": 1_200,  # tracking messages per IP address with the key of a browser
    "strangers": 120,  # without a key, such as the documentation
    "guesses": 60,  # refused keys
}
for _group, _, _rate in (one.partition("=") for one in env.list("API_RATES", default=[])):
    if _group not in API_RATES or not re.fullmatch("[0-9]{1,9}", _rate):
        raise ImproperlyConfigured(
            f"API_RATES: {_group}={_rate} is invalid; write it as reading=6000,costly=60"
            f" (the groups are: {', '.join(API_RATES)})"
        )
    API_RATES[_group] = int(_rate)

# Origins of the shop's pages, such as https://shop.example. Their scripts may query data of their visitor.
VISITOR_ORIGINS = env.list("VISITOR_ORIGINS", default=[])
for _origin in VISITOR_ORIGINS:
    if not re.fullmatch(r"https?://[^/?#\s*]+", _origin):
        raise ImproperlyConfigured(
            f"VISITOR_ORIGINS: {_origin!r} is not an origin; write it as https://shop.example"
        )
CORS_ALLOWED_ORIGINS = VISITOR_ORIGINS
CORS_URLS_REGEX = r"^/api/v1/visitors/"
CORS_ALLOW_METHODS = ["GET", "HEAD", "POST"]  # POST closes a message
CORS_ALLOW_HEADERS = ["accept", "authorization"]
CORS_EXPOSE_HEADERS = ["Retry-After"]

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["core.api.parsers.BoundedJSONParser"],
    # The first class determines the response without authentication: 401, and how to send a key.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "core.api.authentication.KeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    # For views that forget to declare permissions.
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["core.api.throttling.CallerThrottle"],
    "EXCEPTION_HANDLER": "core.api.errors.exception_handler",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Segments",
    "DESCRIPTION": (
        "Customers of a shop, the segments they belong to, and who entered or left.\n\n"
        "Every request needs a key, `Authorization: Bearer seg_…`. Staff create keys in the admin. Every error has the"
        " shape `{code, message, errors: [{path, message}]}`. Lists come in pages: follow `next` until it is null."
    ),
    "TAGS": [
        {
            "name": "segments",
            "description": "List, preview, create and edit segments and fixed lists.",
        },
        {"name": "members", "description": "Who is in a segment, why, and who entered and left."},
        {"name": "refreshes", "description": "Refreshes of segments."},
        {"name": "catalogue", "description": "Filters for rules, and ready-to-use segments."},
        {"name": "customers", "description": "Customers with their facts, and sending customers."},
        {"name": "orders", "description": "Sending orders."},
        {"name": "events", "description": "Sending events: views, carts, sessions."},
        {"name": "visitors", "description": "For the shop's web pages: data of their visitor."},
        {"name": "coupons", "description": "Coupon codes that campaigns gave to customers."},
        {"name": "privacy", "description": "Export or erase everything about one person."},
    ],
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVERS": [{"url": "/", "description": "This installation"}],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "core.api.openapi.require_request_bodies",
        "core.api.openapi.allow_empty_choices",
        "core.api.openapi.add_summaries",
    ],
    # From the sidecar instead of a CDN: the documentation works without internet access.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# -- The admin

FAVICON, UNFOLD, ADMIN_TASKS = admin_theme.FAVICON, admin_theme.UNFOLD, admin_theme.ADMIN_TASKS

# -- Logs

LOGGING = logging_config.configure_logging(
    level=env.str("LOG_LEVEL", default="INFO"), as_json=env.bool("LOG_JSON", default=False)
)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
