"""A check of schemathesis's, in place of one of its own: what fits the description is taken.

Loaded by ``schemathesis run`` (``SCHEMATHESIS_HOOKS``), which knows nothing of Django. A client error in answer to a
request that fits the description is a fault of one of the two, unless it has a reason that no JSON Schema can give.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

import schemathesis

# gunicorn refuses longer ones (4,094 characters) itself, before there is an API to say anything.
LONGEST_QUERY = 3_500

# By code: about how requests follow on one another, not about one of them.
OF_THE_MOMENT = {
    "not_found",  # an id that nobody has
    "in_use",
    "no_rule",
    "still_running",
    "key_reused",  # one Idempotency-Key for two requests
    "changed",  # If-Match
    "gone",
    "throttled",  # two previews of one key at once
    "missing_scope",  # visitors, whose keys can do nothing else
}
REASONS = [
    # What else there is in the shop.
    r"missing, and (there is no stored record to keep it from|so is anonymous_id)",
    r"[Tt]here is no segment",
    r"is taken|already exists|is an address|refer to",
    r"would (refer|ask)|circle",
    r"is not a parameter of|expected a (whole )?number",  # the parameters of the template that is named
    r"cannot be set, because this is a fixed list",
    # How values stand to one another.
    r"expected \[low, high\]",
    r"Enter a day (that is not before|of 1970 or later|from 1970)|At most three years are computed",
    r"up to 10 levels|at most 100",
    r"is in the list twice|shown beside itself|A lifecycle has at (least|most)",
    # OpenAPI 3.0 has no words for the names of members, for decimal places, or for the size of a whole object.
    r"is not an attribute; send it as a field|the name of an attribute must have",
    r"is not an amount: write digits",
    r"was rounded by a spreadsheet",
    r"the number is out of range",  # a fraction such as 1e-289, which would be a text of hundreds of digits
    r"longer than \d+ characters|contains an invalid character",
    # Cursors are opaque.
    r"This cursor is not valid",
]
_KNOWN = re.compile("|".join(REASONS))


@schemathesis.check
def what_fits_is_taken(ctx, response, case) -> None:
    """Fail where a request that fits the description is refused for a reason that the description could give."""
    if not case.meta or not case.meta.generation.mode.is_positive or not 400 <= response.status_code < 500:
        return
    told = response.json()
    if told["code"] in OF_THE_MOMENT:
        return
    messages = [place["message"] for place in told["errors"]] or [told["message"]]
    unknown = [message for message in messages if not _KNOWN.search(message)]
    assert not unknown, f"fits the description, but is refused: {unknown[0]}"


@schemathesis.hook
def filter_case(context, case) -> bool:
    """Leave out addresses that never arrive."""
    return len(urlencode(case.query or {}, doseq=True)) <= LONGEST_QUERY
