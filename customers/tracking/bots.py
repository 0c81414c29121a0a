"""Known bots, by their user agents: a short list of patterns that people's browsers do not send."""

import re
from functools import lru_cache
from typing import Final

_PATTERNS: Final = (
    # Anything that calls itself a bot; “Cubot” is a maker of phones.
    r"(?<!cu)bot\b", r"(?<!cu)bot[/;)_-]", "crawler", "crawling", "spider", "slurp", "scraper",
    # Search engines and link previews that do not
    "google-inspectiontool", "googleother", "google-read-aloud", "mediapartners-google", "feedfetcher",
    "facebookexternalhit", "facebookcatalog", "meta-externalagent", "bingpreview", "baidu-yunguan", "yandexbot",
    "whatsapp/", "skypeuripreview", "embedly", "pinterest/0", "vkshare", "ia_archiver", "archive.org",
    # Monitors and audits
    "lighthouse", "gtmetrix", "pingdom", "statuscake", "site24x7", "uptimerobot", "datadogsynthetics", "newrelicpinger",
    "ptst/", "phantomjs",
)  # fmt: skip
_BOT: Final = re.compile("|".join(_PATTERNS), re.IGNORECASE)


@lru_cache(maxsize=4096)
def is_bot(user_agent: str) -> bool:
    return _BOT.search(user_agent) is not None
