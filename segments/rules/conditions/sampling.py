"""The filter for random samples of customers."""

from typing import Any

from django.db.models import Case, F, Func, Q, Value, When
from django.db.models.functions import MD5, Concat

from segments.rules import values
from segments.rules.base import Condition, Exposure, condition
from segments.rules.context import EvaluationContext
from segments.rules.declarations import param, required
from segments.rules.lookups import Bytewise, Range, constant_q
from segments.rules.parameters import NAME, Scalar

BUCKET_COUNT = 100


@condition(
    "random_bucket",
    group="profile",
    label="Random bucket",
    unit="count",
    example={"between": [0, 9], "salt": "test-1"},
    synonyms="random, sample, split, test group, control group, A/B test, holdout, share of customers",
)
class RandomBucket(Condition):
    """A random sample of the customers. Each customer is always in the same one of 100 equal buckets, from 0 to 99.

    Another `salt` gives another sample. The bucket is floor(100 · h / 2^128), where h is the MD5 hash of salt, colon
    and customer id.
    """

    exposure = Exposure.OPEN

    between: tuple[int, int] = required(Scalar(values.BUCKETS))
    salt: str | None = param(NAME)

    def _digest(self) -> Func:
        # Hexadecimal digests of one length sort like their numbers, so the database compares texts.
        return Bytewise(MD5(Concat(Value(f"{self.salt or ''}:"), F("customer_id"))))

    def q(self, context: EvaluationContext) -> Q:
        low, high = self.between
        first = None if low == 0 else _smallest_digest(low)
        after = None if high == BUCKET_COUNT - 1 else _smallest_digest(high + 1)
        if first is None and after is None:
            return constant_q(True)
        return Range(first, after, excludes_high=True).q(self._digest(), Value)

    def value(self, context: EvaluationContext) -> Any:
        cuts = [When(Range(high=_smallest_digest(n + 1), excludes_high=True).q(self._digest(), Value), then=Value(n))
                for n in range(BUCKET_COUNT - 1)]  # fmt: skip
        return Case(*cuts, default=Value(BUCKET_COUNT - 1))

    def sentence(self) -> str:
        salt = f" of the sample “{self.salt}”" if self.salt else ""
        return f"is in the random buckets {self.between[0]} to {self.between[1]}{salt}"


def _smallest_digest(bucket: int) -> str:
    return f"{-(-bucket * 2**128 // BUCKET_COUNT):032x}"
