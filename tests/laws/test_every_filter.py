"""Laws for every registered filter, on a shop with all kinds of customers."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from customers.facts import definitions, relations
from customers.models import Customer, Facts
from segments.evaluation.context import context_at, shop_zone
from segments.evaluation.matching import customers_matching, public_ids
from segments.management.commands.document_rules import START
from segments.models import Segment
from segments.rules import EvaluationContext, PopulationStatistics, RuleError, parse, registry
from segments.rules.catalogue import LIFECYCLE_FILTERS, catalogue_markdown, list_filters, parameters_schema
from segments.templates import TEMPLATES
from tests.support.shop import command
from tests.support.shop_in_database import import_sample_shop

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture
def all_sorts(db) -> set[str]:
    """A sample shop of three hundred customers with its ready-to-use segments; returns all public ids."""
    import_sample_shop(300, NOW)
    return set(Customer.objects.existing().values_list("customer_id", flat=True))


def matching(rule, at=NOW) -> list[str]:
    return list(public_ids(customers_matching(parse(rule), context_at(at))))


def test_a_condition_and_its_negation_split_the_customers(all_sorts):
    for entry in list_filters():
        yes, no = matching(entry.example), matching({"none": [entry.example]})

        assert [len(yes), len(no)] == [len(set(yes)), len(set(no))], f"{entry.name} names somebody twice"
        assert sorted(yes + no) == sorted(all_sorts), entry.name


def test_an_evaluation_as_of_now_equals_the_stored_facts(all_sorts):
    stored = context_at(NOW)
    recomputed = EvaluationContext(
        NOW, shop_zone(), relations.prepare_recomputed_relation(NOW), PopulationStatistics()
    )
    assert (stored.facts, recomputed.facts) == ("facts", "facts_as_of")

    names = [fact.name for fact in definitions.declared_facts()] + ["first_seen_at"]
    for row in Customer.objects.filter(stored.existing_q()).values(
        "customer_id", *(f"{relation}__{name}" for relation in ("facts", "facts_as_of") for name in names)
    ):
        for name in names:
            assert row[f"facts__{name}"] == row[f"facts_as_of__{name}"], (row["customer_id"], name)


def test_a_past_instant_is_evaluated_from_the_records(all_sorts):
    past = NOW - timedelta(days=200)
    assert context_at(past).facts == "facts_as_of"
    then = set(matching({"last_order": {"ever": True}}, past))
    assert 0 < len(then) < Facts.objects.filter(order_count__gt=0).count()


def test_every_segment_has_members(all_sorts):
    assert set(Segment.objects.filter(size=0).values_list("slug", flat=True)) <= {"two-time-buyers"}


def test_all_lifecycle_filters_are_registered():
    assert set(LIFECYCLE_FILTERS) <= registry.keys()
    assert len(LIFECYCLE_FILTERS) == 15


def test_the_templates_are_written_with_lifecycle_filters_alone():
    assert len(TEMPLATES) == 16
    for template in TEMPLATES.values():
        used = {condition.name for condition in parse(template.rule()).conditions()}
        assert used <= set(LIFECYCLE_FILTERS), template.slug


@pytest.mark.parametrize("name", registry)
def test_an_example_fits_its_schema_and_survives_json(name):
    schema = parameters_schema(registry[name])
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(registry[name].example)
    rule = {name: registry[name].example}
    assert parse(json.loads(json.dumps(rule))) == parse(rule)


@pytest.mark.parametrize("name", registry)
def test_an_unknown_parameter_is_refused_with_its_path(name):
    with pytest.raises(RuleError) as refused:
        parse({"all": [{name: registry[name].example | {"colour": 1}}]})
    assert refused.value.path == f"rule.all[0].{name}.colour"
    assert list(Draft202012Validator(parameters_schema(registry[name])).iter_errors({"colour": 1}))


def test_the_documentation_names_every_filter_as_it_is():
    page = (Path(django_settings.BASE_DIR) / "docs" / "rules.md").read_text(encoding="utf-8")
    assert page.partition(START)[2].strip() == catalogue_markdown().strip(), "run manage.py document_rules"


def test_the_reference_is_written_below_its_introduction(tmp_path, settings):
    settings.BASE_DIR = tmp_path
    page = tmp_path / "docs" / "rules.md"
    page.parent.mkdir()
    page.write_text(f"# Ours\n\n{START}\nold\n", encoding="utf-8")

    assert command("document_rules") == "docs/rules.md\n"

    assert page.read_text(encoding="utf-8") == f"# Ours\n\n{START}\n{catalogue_markdown()}"
