"""Real shops' data, kept beside the repository: every published figure comes out exactly."""

import json
from pathlib import Path

import pytest
from django.conf import settings

from customers.rows.kinds import KINDS
from segments import segment_store
from segments.models import Segment
from segments.templates import TEMPLATES

from .support import shop

DATA = Path(settings.BASE_DIR).parent / "shared" / "data"
SETS = ("rfm_orders", "cdnow_sample", "online_retail_dev", "ecom_clickstream")

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not beside the repository"),
]


@pytest.mark.parametrize("name", SETS)
def test_every_number_is_computed_and_membership_is_exact(name: str, tmp_path: Path) -> None:
    expected = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))[name]
    for kind in KINDS:
        if (file := DATA / name / f"{kind}.csv").exists():
            assert "refused 0" in shop.command("import_csv", kind, file)
    at = ("--at", expected["at"])

    sizes = {}
    segment_store.install_templates()
    for slug in TEMPLATES:
        sizes[slug] = int(shop.command("evaluate", "--segment", slug, *at))
    assert sizes == expected["templates"]

    rules = tmp_path / "rules.json"
    everybody = {"none": [{"order_count": {"less_than": 0}}]}
    rules.write_text(json.dumps([everybody, *(one["rule"] for one in expected["rules"])]), encoding="utf-8")
    total, *counts = map(int, shop.command("evaluate", "--rule", rules, *at).split())
    assert total == expected["customers"]
    named = [one["name"] for one in expected["rules"]]
    assert dict(zip(named, counts, strict=True)) == {one["name"]: one["count"] for one in expected["rules"]}

    shop.command("refresh_segments", *at)
    assert dict(Segment.objects.values_list("slug", "size")) == expected["templates"]
    assert all(": right, " in line for line in shop.command("verify_segments").splitlines())
    assert "entered 0, left 0" in shop.command("refresh_segments", "hero", *at)
