"""Rules are refused at once, with the path of what is wrong."""

import pytest

from segments.rules import RuleError, parse

KNOWN = {"known": {"is": True}}


def nested(levels: int) -> dict:
    rule: dict = KNOWN
    for _ in range(levels):
        rule = {"all": [rule]}
    return rule


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        ([], "rule", "expected an object with one key"),
        ({}, "rule", "expected an object with one key"),
        ({"known": {"is": True}, "rfm": {}}, "rule", "expected an object with one key"),
        ({"all": []}, "rule.all", "not empty"),
        ({"all": {}}, "rule.all", "expected a list"),
        ({"lucky": {"is": True}}, "rule.lucky", "not a known filter"),
        ({"any": [KNOWN, {"known": {"is": "yes"}}]}, "rule.any[1].known.is", "expected true or false"),
        ({"known": True}, "rule.known", "expected an object"),
        ({"known": {}}, "rule.known.is", "missing"),
        ({"order_count": {}}, "rule.order_count", "expected exactly one of is,"),
        ({"order_count": {"is": 1, "at_least": 2}}, "rule.order_count", "found is, at_least"),
        ({"order_count": {"at_least": "2"}}, "rule.order_count.at_least", "expected a number"),
        ({"order_count": {"at_least": True}}, "rule.order_count.at_least", "expected a number"),
        ({"order_count": {"at_least": float("nan")}}, "rule.order_count.at_least", "expected a number between"),
        ({"order_count": {"at_least": 10**40}}, "rule.order_count.at_least", "expected a number between"),
        ({"order_count": {"between": [3, 1]}}, "rule.order_count.between", "3 is more than 1"),
        ({"order_count": {"between": [1]}}, "rule.order_count.between", "[low, high]"),
        (
            {"order_count": {"is": 1, "during": {"ever": True}}},
            "rule.order_count.during.ever",
            "is not a word here",
        ),
        ({"last_order": {"within_last": "30"}}, "rule.last_order.within_last", "expected a span"),
        ({"last_order": {"within_last": "0d"}}, "rule.last_order.within_last", "at least a minute"),
        ({"last_order": {"within_last": f"{10**9}d"}}, "rule.last_order.within_last", "expected a span"),
        ({"last_order": {"within_last": "99999999d"}}, "rule.last_order.within_last", "36500 days"),
        ({"last_order": {"before": "2026-02-30"}}, "rule.last_order.before", "expected a date"),
        ({"last_order": {"before": "0001-01-01"}}, "rule.last_order.before", "between the years"),
        ({"country": {"in": []}}, "rule.country.in", "not empty"),
        ({"country": {"in": ["x"] * 10**6}}, "rule.country.in", "at most 1000"),
        ({"country": {"is": ""}}, "rule.country.is", "exists"),
        ({"country": {"is": "a\x00b"}}, "rule.country.is", "NUL"),
        ({"country": {"is": "\ud800"}}, "rule.country.is", "surrogate"),
        ({"country": {"is": 5}}, "rule.country.is", "expected a text"),
        ({"attribute": {"is": 5}}, "rule.attribute.name", "missing"),
        ({"attribute": {"name": "a", "is": []}}, "rule.attribute.is", "a text or a number"),
        ({"attribute": {"name": "a", "between": ["x", 1]}}, "rule.attribute.between", "two numbers or two dates"),
        ({"total_spent": {"top_percent": 0}}, "rule.total_spent.top_percent", "over 0, up to 100"),
        ({"total_spent": {"above": "mean"}}, "rule.total_spent.above", "'average', 'median'"),
        ({"rfm": {}}, "rule.rfm", "one or more of recency"),
        ({"rfm": {"recency": {}}}, "rule.rfm.recency", "expected exactly one of"),
        ({"birthday": {"within_next": "12h"}}, "rule.birthday.within_next", "span in days"),
        ({"random_bucket": {"between": [0, 100]}}, "rule.random_bucket.between", "0 to 99"),
        ({"in_segment": {"is": "no such!"}}, "rule.in_segment.is", "slug"),
        ({"discounted_order_share": {"is": 50}}, "rule.discounted_order_share.is", "between 0 and 1"),
        (
            {"bought": {"product": {"colour": {"is": "red"}}}},
            "rule.bought.product.colour",
            "not a part of a product",
        ),
        ({"bought": {"product": {}}}, "rule.bought.product", "one or more of sku"),
        (
            {"event_count": {"is": 1, "where": {"property": "price", "at_least": "5"}}},
            "rule.event_count.where.at_least",
            "expected a number",
        ),
        ({"event_count": {"is": 1, "where": {"at_least": 5}}}, "rule.event_count.where.property", "missing"),
        ({"open_cart": {}}, "rule.open_cart.within_last", "missing"),
        (nested(11), "rule" + ".all[0]" * 10 + ".all", "nested too deeply"),
        (nested(1_000), "rule" + ".all[0]" * 10 + ".all", "nested too deeply"),
        ({"all": [KNOWN] * 101}, "rule.all[100].known", "at most 100"),
    ],
)  # fmt: skip
def test_a_bad_rule_is_refused_with_its_path(rule, path, message):
    with pytest.raises(RuleError) as refused:
        parse(rule)
    assert refused.value.path == path
    assert message in refused.value.message


def test_a_rule_of_the_largest_allowed_size_is_parsed():
    assert sum(1 for _ in parse({"all": [KNOWN] * 100}).conditions()) == 100
    assert len(list(parse(nested(10)).conditions())) == 1


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (
            {"all": [KNOWN, {"order_count": {"at_least": 2, "during": {"within_last": "30d"}}},
                     {"none": [{"country": {"in": ["DE", "FR"]}}]}]},
            "is known and placed at least 2 orders in the last 30 days and"
            " does not have a country that is one of “Germany”, “France”",
        ),
        (
            {"none": [{"all": [{"newsletter": {"is": "unsubscribed"}}, {"order_count": {"is": 0}}]}]},
            "is not a customer who has unsubscribed from the newsletter and placed exactly 0 orders",
        ),
        (
            {"none": [KNOWN, {"none": [{"newsletter": {"is": "unsubscribed"}}]}]},
            "does not match: is known or has not unsubscribed from the newsletter",
        ),
        (
            {"discounted_order_share": {"between": [0.125, 0.5]}},
            "has a share of discounted orders of between 12.5 % and 50 %",
        ),
        (
            {"any": [{"last_order": {"ever": False}}, {"total_spent": {"above": "average"}}]},
            "has never ordered or spent above the average",
        ),
        (
            {"open_cart": {"within_last": "7d", "older_than": "90m", "value": {"at_least": 50}}},
            "has an open cart worth at least 50, last added to in the last 7 days and at least 90 minutes ago",
        ),
    ],
)  # fmt: skip
def test_a_rule_has_an_english_sentence(rule, sentence):
    assert parse(rule).sentence() == sentence
