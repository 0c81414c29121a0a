"""The settings, and the only reader of the environment; every variable has a default.

SECRET_KEY, SECRET_KEY_FALLBACKS, DEBUG, ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS, BEHIND_HTTPS_PROXY, PUBLIC_URL,
DATABASE_URL, REDIS_URL, TIME_ZONE, SHOP_CURRENCY, SHOP_NAME, SHOP_URL, SHOP_ADDRESS, SHOP_DOUBLE_OPT_IN,
PRODUCT_HOSTS, IMPORTS_DIR, IMPORTS_KEPT_FOR, IMPORT_LEASE, REFRESH_LEASE, FIGURES_MAX_AGE, STATEMENT_LIMIT,
COUNT_PATIENCE, CHANGES_KEPT_FOR, API_RATES, VISITOR_ORIGINS, WEBHOOK_ALLOWED_NETWORKS, WEBHOOK_LOG_KEPT_FOR,
CAMPAIGN_MESSAGES_A_WEEK, CAMPAIGN_MESSAGES_VALID_FOR, CAMPAIGN_LEASE, CAMPAIGN_CREDIT_DAYS,
COUPONS_UNCONFIRMED_AN_HOUR, EMAIL_URL, EMAIL_BACKEND, EMAIL_TIMEOUT, ANYMAIL, DEFAULT_FROM_EMAIL, LOG_LEVEL, LOG_JSON.
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
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy

from . import __version__, logging_config, redis_url, secret_key

# What our processes write has personal data in it: databases, uploads, messages, lists of refused rows. Whatever
# they make is for its owner only, files (0600) and folders (0700), also what somebody forgets to say so for.
os.umask(0o077)

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = BASE_DIR / "data"

env = environ.Env()

DEBUG = env.bool("DEBUG", default=False)
# The machine itself always: `serve` and containers ask /healthz under these names.
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *env.list("ALLOWED_HOSTS", default=[])]
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Only behind a proxy that sets X-Forwarded-Proto itself, and adds the client's address to X-Forwarded-For:
# whoever can send these headers is believed.
BEHIND_HTTPS_PROXY = env.bool("BEHIND_HTTPS_PROXY", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_HTTPS_PROXY
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_HTTPS_PROXY else None
SECURE_SSL_REDIRECT = BEHIND_HTTPS_PROXY
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]  # which the machine itself asks, by plain HTTP
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if BEHIND_HTTPS_PROXY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = BEHIND_HTTPS_PROXY
# Browsers preload whole domains, which are the shop's to decide about and not this installation's.
SILENCED_SYSTEM_CHECKS = ["security.W021"]

# -- The shop

TIME_ZONE = env.str("TIME_ZONE", default="UTC")
try:
    ZoneInfo(TIME_ZONE)
except (KeyError, ValueError, OSError) as error:
    raise ImproperlyConfigured(f"TIME_ZONE: {TIME_ZONE!r} is no time zone, such as Europe/Berlin") from error
USE_TZ = True
LANGUAGE_CODE = "en"

SHOP_CURRENCY = env.str("SHOP_CURRENCY", default="EUR")
if not re.fullmatch("[A-Z]{3}", SHOP_CURRENCY):
    raise ImproperlyConfigured(f"SHOP_CURRENCY: {SHOP_CURRENCY!r} is no currency code, such as EUR")

# Where the links of messages lead: the address under which customers reach this installation.
# Where none is given, `serve --port` and `demo --port` put in their own.
PUBLIC_URL = (env.str("PUBLIC_URL", default="") or "http://127.0.0.1:8000").rstrip("/")
PUBLIC_URL_IS_CONFIGURED = bool(env.str("PUBLIC_URL", default=""))
if not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", PUBLIC_URL):
    raise ImproperlyConfigured(
        f"PUBLIC_URL: {PUBLIC_URL!r} is no address, such as https://segments.shop.example"
    )
ALLOWED_HOSTS.append(urlsplit(PUBLIC_URL).hostname or "")

# An order is put down to a message that reached its customer at most so many days before.
CAMPAIGN_CREDIT_DAYS = env.float("CAMPAIGN_CREDIT_DAYS", default=7)
if not 0 < CAMPAIGN_CREDIT_DAYS <= 365:
    raise ImproperlyConfigured("CAMPAIGN_CREDIT_DAYS: more than 0 and at most 365 days")
# What messages say of the shop: its name, the address of its front page, and the postal one at their end.
SHOP_NAME = env.str("SHOP_NAME", default="The shop")
SHOP_URL = env.str("SHOP_URL", default="") or "http://127.0.0.1:8000/"
SHOP_URL_IS_CONFIGURED = bool(env.str("SHOP_URL", default=""))
if not re.match("https?://[^/]", SHOP_URL):
    raise ImproperlyConfigured(f"SHOP_URL: {SHOP_URL!r} is no address, such as https://shop.example/")
SHOP_ADDRESS = env.str("SHOP_ADDRESS", default="")
# Where pages and pictures of products may lie, besides on the shop's own host: events name them, and anybody
# can send events.
PRODUCT_HOSTS = env.list("PRODUCT_HOSTS", default=[])

# Uploaded files are deleted so many days after their import ended.
IMPORTS_KEPT_FOR = env.float("IMPORTS_KEPT_FOR", default=7)
# A running import whose worker gives no sign of life for so many seconds is begun anew.
IMPORT_LEASE = env.float("IMPORT_LEASE", default=60)

# A running refresh whose process gives no sign of life for so many seconds counts as dead.
REFRESH_LEASE = env.float("REFRESH_LEASE", default=30)
# On a very large shop medians, percentiles and RFM cuts may be so many seconds old; 0 keeps them exact.
FIGURES_MAX_AGE = env.float("FIGURES_MAX_AGE", default=0)
# A web process counts whom a rule matches for so many seconds; then a worker goes on, at 0 from the start.
COUNT_PATIENCE = env.float("COUNT_PATIENCE", default=2)

# Changes of members can be followed for so many days; whoever is further behind begins anew. How many came and went
# on which day is kept for ever.
CHANGES_KEPT_FOR = env.float("CHANGES_KEPT_FOR", default=400)
if CHANGES_KEPT_FOR < 1:
    raise ImproperlyConfigured(f"CHANGES_KEPT_FOR: {CHANGES_KEPT_FOR:g} days are too few; give at least 1")

# Webhooks go to addresses of the public internet alone, and to these networks of one's own, such as 10.1.2.0/24.
try:
    WEBHOOK_ALLOWED_NETWORKS = [ip_network(text) for text in env.list("WEBHOOK_ALLOWED_NETWORKS", default=[])]
except ValueError as error:
    raise ImproperlyConfigured(
        f"WEBHOOK_ALLOWED_NETWORKS: {error}; write it as 10.1.2.0/24,fd00::/8"
    ) from error
# What was told to whom, and what they answered, is deleted so many days later.
WEBHOOK_LOG_KEPT_FOR = env.float("WEBHOOK_LOG_KEPT_FOR", default=14)
if not 0 <= WEBHOOK_LOG_KEPT_FOR <= 30:
    raise ImproperlyConfigured("WEBHOOK_LOG_KEPT_FOR: at most 30 days, since the erased are named no longer")

# Whether an address is asked before a browser's wish for the newsletter counts. Without, anybody who knows an
# address can subscribe it.
SHOP_DOUBLE_OPT_IN = env.bool("SHOP_DOUBLE_OPT_IN", default=True)
# So many e-mails of campaigns a customer gets in seven days, at most.
CAMPAIGN_MESSAGES_A_WEEK = env.int("CAMPAIGN_MESSAGES_A_WEEK", default=3)
# A message that could not be sent so many hours after its time (a pause, an outage) is not sent any more.
CAMPAIGN_MESSAGES_VALID_FOR = env.float("CAMPAIGN_MESSAGES_VALID_FOR", default=24)
# Visitors of whom nobody but browsers has told get at most so many coupon codes of a pool an hour, all together.
COUPONS_UNCONFIRMED_AN_HOUR = env.int("COUPONS_UNCONFIRMED_AN_HOUR", default=50)
if COUPONS_UNCONFIRMED_AN_HOUR < 0:
    raise ImproperlyConfigured("COUPONS_UNCONFIRMED_AN_HOUR: 0 for none, or how many")
# A worker has so many seconds for the messages it has claimed; after that another one sends them.
CAMPAIGN_LEASE = env.float("CAMPAIGN_LEASE", default=300)

# -- The database

DATABASE: dict[str, Any] = env.db_url_config(
    env.str("DATABASE_URL", default="") or f"sqlite:///{quote(str(DATA_DIR / 'shop.sqlite3'))}"
)
SQLITE_FILE: Path | None = None
if DATABASE["ENGINE"] == "django.db.backends.sqlite3":
    DATABASE["OPTIONS"] = {
        # Take the lock at the start: two transactions that read first and write later would fail, not wait.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # Readers and the writer do not wait for each other; a power cut may lose the latest commits, no more.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        **DATABASE.get("OPTIONS", {}),
    }
    if DATABASE["NAME"] != ":memory:":
        SQLITE_FILE = Path(DATABASE["NAME"]).absolute()
        SQLITE_FILE.parent.mkdir(parents=True, exist_ok=True)
        DATABASE["NAME"] = str(SQLITE_FILE)
        # The tests' database is a file too, so that a worker started by a test can open it.
        DATABASE["TEST"] = {"NAME": str(SQLITE_FILE.with_name(f"test_{SQLITE_FILE.name}"))}
else:
    DATABASE.setdefault("CONN_MAX_AGE", 60)
    DATABASE.setdefault("CONN_HEALTH_CHECKS", True)
    # Compiling the long questions of a refresh takes longer than answering them.
    # A statement whose client is gone ends within seconds, and with it what it has locked.
    DATABASE.setdefault("OPTIONS", {}).setdefault(
        "options", "-c jit=off -c client_connection_check_interval=5s"
    )
    DATABASE["OPTIONS"].setdefault("connect_timeout", 5)  # seconds: who asks is told that it is away
DATABASES = {"default": DATABASE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Uploaded files, with personal data in them: on a disk that web and worker processes share.
IMPORTS_DIR = Path(
    env.str("IMPORTS_DIR", default="") or (SQLITE_FILE.parent if SQLITE_FILE else DATA_DIR) / "imports"
)

SECRET_KEY = env.str("SECRET_KEY", default="") or secret_key.load_or_create_secret_key(
    SQLITE_FILE.parent if SQLITE_FILE else DATA_DIR
)

# Former ones, for as long as links that were signed with them shall work.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])

# A statement of background work that takes longer than so many seconds is ended, and its work taken in smaller
# parts (PostgreSQL); 0 for no limit.
STATEMENT_LIMIT = env.float("STATEMENT_LIMIT", default=60)
if STATEMENT_LIMIT < 0:
    raise ImproperlyConfigured("STATEMENT_LIMIT: 0 for no limit, or how many seconds")

# -- Redis and Celery

# Where nobody has named a Redis, `serve` and `demo` start one of their own.
REDIS_IS_CONFIGURED = bool(env.str("REDIS_URL", default=""))
REDIS_URL = env.str("REDIS_URL", default="") or "redis://127.0.0.1:6379/0"

try:
    CELERY_BROKER_URL = redis_url.celery_broker_url(REDIS_URL)
except ValueError as error:
    raise ImproperlyConfigured(f"REDIS_URL: {error}") from error
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A message not acknowledged for this long is given to another worker too, so a task and its countdown
# must be shorter; the limit ends a task that is not.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3 * 3600,
    "socket_connect_timeout": 5,  # who presses a button does not wait for a Redis that is not there
}
# Long counts of rules that staff write: a worker of their own takes them, and nobody else.
COUNTS_QUEUE = "counts"
CELERY_TASK_ROUTES = {"segments.tasks.count_rule": {"queue": COUNTS_QUEUE}}
CELERY_TASK_TIME_LIMIT = 2 * 3600
CELERY_TASK_ACKS_LATE = True  # a task of a worker that died comes again, so every task may run twice
CELERY_TASK_IGNORE_RESULT = True  # what a run did is kept in a model of ours
CELERY_RESULT_EXPIRES = None  # else beat adds a schedule that cleans up results there are none of
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # tasks are long: none waits behind another while a process is idle
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = TIME_ZONE

# What web processes and workers leave for one another for minutes; nothing is lost with it.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "segments",
        "OPTIONS": {"serializer": "core.cache_serializer.JSONSerializer"},
    }
}

# -- E-mail

# smtp+tls://user:password@mail.example:587; where none is named, messages become files beside the database.
_MAIL_DIR = (SQLITE_FILE.parent if SQLITE_FILE else DATA_DIR) / "outbox"
_MAIL = env.email_url_config(env.str("EMAIL_URL", default="") or f"filemail:///{quote(str(_MAIL_DIR))}")
EMAIL_BACKEND = env.str("EMAIL_BACKEND", default="") or _MAIL["EMAIL_BACKEND"]
EMAIL_HOST, EMAIL_PORT = _MAIL["EMAIL_HOST"] or "localhost", _MAIL["EMAIL_PORT"] or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _MAIL["EMAIL_HOST_USER"] or "", _MAIL["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS, EMAIL_USE_SSL = _MAIL.get("EMAIL_USE_TLS", False), _MAIL.get("EMAIL_USE_SSL", False)
# Also where a mail server is set: messages from before it was may lie there, and are erased with their addressees.
EMAIL_FILE_PATH = _MAIL["EMAIL_FILE_PATH"] or str(_MAIL_DIR)
EMAIL_TIMEOUT = env.float("EMAIL_TIMEOUT", default=30)
# Providers by django-anymail, as its documentation has it: {"MAILGUN_API_KEY": "…"}.
ANYMAIL = env.json("ANYMAIL", default={})
# What providers tell of messages suppresses addresses: without a secret in the address, anybody could tell it.
TAKES_PROVIDER_EVENTS = bool(find_spec("anymail") and ANYMAIL.get("WEBHOOK_SECRET"))

# Who writes: The Shop <news@shop.example>
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
if find_spec("anymail"):  # takes what providers tell of messages: bounces and complaints
    INSTALLED_APPS.append("anymail")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "core.http.content_security_policy.ContentSecurityPolicyMiddleware",
    "core.http.encoded_paths.EncodedPathMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",  # before all that may answer
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "core.http.body_limits.BodyLimitMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
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
        "DIRS": [BASE_DIR / "segments_project" / "templates"],  # before those of the packages
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
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"  # lets an app bring a widget's template

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
    "axes.backends.AxesStandaloneBackend",  # first: it refuses who has to wait
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# By name and address: a stranger who tries passwords elsewhere cannot keep somebody out.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the time that was told holds
AXES_CLIENT_IP_CALLABLE = "core.http.client_ip.client_ip"
AXES_LOCKOUT_CALLABLE = "core.staff.login_throttling.lockout_response"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False  # core.admin.failed_logins is ours
AXES_VERBOSE = False

# Static files come straight from the packages: nothing has to be collected, also not in production.
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True

# -- The API

# Requests a minute: of each key or person (visitors: and address; guesses, strangers: of each address); 0 for no limit.
API_RATES: dict[str, int] = {
    "reading": 6_000,
    "writing": 600,
    "ingest": 6_000,
    "costly": 60,
    "visitors": 1_200,
    "browsers": 1_200,  # messages of each address by the key of a browser
    "strangers": 120,  # who brings no key sees the documentation
    "guesses": 60,  # keys that are refused
}
for _group, _, _rate in (one.partition("=") for one in env.list("API_RATES", default=[])):
    if _group not in API_RATES or not re.fullmatch("[0-9]{1,9}", _rate):
        raise ImproperlyConfigured(
            f"API_RATES: {_group}={_rate} will not do; write it as reading=6000,costly=60"
            f" (there are: {', '.join(API_RATES)})"
        )
    API_RATES[_group] = int(_rate)

# The origins of the shop's pages, such as https://shop.example: their scripts may ask about their visitor.
VISITOR_ORIGINS = env.list("VISITOR_ORIGINS", default=[])
for _origin in VISITOR_ORIGINS:
    if not re.fullmatch(r"https?://[^/?#\s*]+", _origin):
        raise ImproperlyConfigured(
            f"VISITOR_ORIGINS: {_origin!r} is no origin; write it as https://shop.example"
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
    # The first one speaks when nobody is known: 401 and how to send a key.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "core.api.authentication.KeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    # A view that forgets to say who may see it shows nothing.
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["core.api.throttling.CallerThrottle"],
    "EXCEPTION_HANDLER": "core.api.errors.exception_handler",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Segments",
    "DESCRIPTION": (
        "Customers of a shop, the segments they belong to, and who entered or left.\n\n"
        "Every request carries a key, `Authorization: Bearer seg_…`; staff make them in the admin. Every error has the"
        " shape `{code, message, errors: [{path, message}]}`. Lists come in pages: follow `next` until it is null."
    ),
    "TAGS": [
        {
            "name": "segments",
            "description": "By rule or of chosen customers: listed, tried out, made, edited.",
        },
        {"name": "members", "description": "Who is in, why, and who entered and left."},
        {"name": "refreshes", "description": "When members are found anew."},
        {"name": "catalogue", "description": "What rules and ready-to-use segments are made of."},
        {"name": "customers", "description": "Sent by the shop, with what is known about them."},
        {"name": "orders", "description": "Sent by the shop."},
        {"name": "events", "description": "Views, carts, sessions, sent by the shop."},
        {"name": "visitors", "description": "What the shop's own pages may ask about who looks at them."},
        {"name": "coupons", "description": "Codes that campaigns gave to customers."},
        {"name": "privacy", "description": "Everything about one person, exported or erased."},
    ],
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVERS": [{"url": "/", "description": "This installation"}],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "customers.api.schema.require_request_bodies",
        "customers.api.schema.allow_empty_choices",
        "customers.api.schema.add_summaries",
    ],
    # From the sidecar, not from a CDN: the documentation works without the internet.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# -- The admin

FAVICON = "core/favicon.svg"


def _entry(title: str, icon: str, model: str) -> dict[str, Any]:
    """One line of the sidebar, for those who may see that model's list."""
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
    }


def _is_live(request: HttpRequest) -> bool:
    """Tell the page of live visitors, which lies below that of the customers."""
    return request.path == reverse("admin:customers_customer_live")


def _is_of_segment(request: HttpRequest) -> bool:
    """Tell the pages of a segment that campaigns add."""
    return "/campaigns/campaign/of/" in request.path


UNFOLD = {
    "SITE_TITLE": "Segments",
    "SITE_HEADER": "Segments",
    "SITE_SYMBOL": "groups",
    "SITE_FAVICONS": [{"rel": "icon", "href": lambda request: static(FAVICON), "type": "image/svg+xml"}],
    "SITE_URL": None,  # there is no other site to view
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "core.staff.login_throttling.LoginForm"},
    "DASHBOARD_CALLBACK": "campaigns.admin.notices.dashboard_context",
    "STYLES": [lambda request: static("core/admin.css")],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Shop",
                "items": [
                    _entry("Customers", "person", "customers.customer")
                    | {
                        "active": lambda request: (
                            "/customers/customer/" in request.path and not _is_live(request)
                        )
                    },
                    {
                        "title": "Live visitors",
                        "icon": "sensors",
                        "link": reverse_lazy("admin:customers_customer_live"),
                        "active": _is_live,
                        "permission": lambda request: request.user.has_perms(
                            ["customers.view_customer", "segments.view_segment"]
                        ),
                    },
                    _entry("Imports", "upload_file", "customers.import"),
                ],
            },
            {
                "title": "Segmentation",
                "items": [
                    _entry("Segments", "groups", "segments.segment")
                    | {
                        "active": lambda request: (
                            "/segments/segment/" in request.path or _is_of_segment(request)
                        )
                    },
                    _entry("Refreshes", "sync", "segments.refresh"),
                    _entry("Verifications", "verified", "segments.verification"),
                    _entry("Webhooks", "webhook", "segments.endpoint"),
                    _entry("Webhook messages", "outbox", "segments.message"),
                    _entry("Schedules", "schedule", "django_celery_beat.periodictask"),
                ],
            },
            {
                "title": "Campaigns",
                "items": [
                    _entry("Campaigns", "campaign", "campaigns.campaign")
                    | {
                        "active": lambda request: (
                            "/campaigns/campaign/" in request.path and not _is_of_segment(request)
                        )
                    },
                    _entry("Coupons", "confirmation_number", "campaigns.couponpool"),
                    _entry("Suppressions", "unsubscribe", "customers.suppression"),
                ],
            },
            {
                "title": "Administration",
                "items": [
                    _entry("Staff", "badge", "auth.user"),
                    _entry("Groups", "group_work", "auth.group"),
                    _entry("API keys", "key", "core.apikey"),
                    _entry("Tracking sources", "stream", "customers.source"),
                    _entry("Refused messages", "report", "customers.refusedmessage"),
                    _entry("Identity conflicts", "call_split", "customers.identitylink"),
                    _entry("Activity", "history", "admin.logentry"),
                    _entry("Erasures", "person_off", "customers.erasure"),
                    _entry("Failed logins", "lock", "axes.accessattempt"),
                ],
            },
        ],
    },
}

# -- Logs

LOGGING = logging_config.configure_logging(
    level=env.str("LOG_LEVEL", default="INFO"), as_json=env.bool("LOG_JSON", default=False)
)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
