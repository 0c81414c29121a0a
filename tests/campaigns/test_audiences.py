"""Audiences for ads: hashed as platforms require, only with consent, in full and as changes."""

import csv
import io
import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from campaigns.audiences import exports, platforms
from campaigns.models import AudienceExport, AudienceMember
from customers.identity import lookup
from customers.models import Customer
from customers.privacy import personal_data
from segments.models import Change, Segment
from segments.refresh.engine import refresh_all
from tests.support import shop

pytestmark = pytest.mark.django_db

VECTORS = Path(settings.BASE_DIR).parent / "shared" / "vectors.json"
# What the vectors call a column, what of a customer it is made of, and how else Meta calls it.
SOURCES = {
    "EMAIL": "email", "PHONE": "phone", "FN": "first_name", "LN": "last_name", "CT": "city", "ST": "state",
    "ZIP": "zip", "COUNTRY": "country", "GEN": "gender",
    "Email": "email", "Phone": "phone", "First Name": "first_name", "Last Name": "last_name",
    "Country": "country", "Zip": "zip",
}  # fmt: skip
# How the Conversions API calls the same.
FIELDS = {
    "em": "EMAIL", "ph": "PHONE", "ct": "CT", "st": "ST", "zp": "ZIP", "country": "COUNTRY", "fn": "FN", "ge": "GEN",
}  # fmt: skip
PEOPLE = "customer_id,email,first_name,newsletter,ads_consent"


def sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def exported(slug: str, platform: str, *options: object) -> tuple[list[dict[str, str]], int]:
    """Return the rows of a file, and the change to continue from."""
    out, err = io.StringIO(), io.StringIO()
    call_command("export_audience", slug, "--for", platform, *map(str, options), stdout=out, stderr=err)
    last = err.getvalue().strip().splitlines()[-1]
    return list(csv.DictReader(io.StringIO(out.getvalue()))), int(last.rpartition(" ")[2])


def emails(rows: list[dict[str, str]], *known: str) -> dict[str, str]:
    """Return the known addresses in a file, with their operation."""
    names = {sha(f"{name}@example.org"): name for name in known}
    return {names[row["EMAIL"]]: row.get("operation", "") for row in rows}


def everybody(**rule: Any) -> None:
    """A segment of all customers who can be reached, or by another rule."""
    shop.segment("everybody", rule or {"known": {"is": True}})
    refresh_all()


# -- How it is written


def vectors(name: str) -> list[dict[str, Any]]:
    if not VECTORS.exists():
        pytest.skip("the vectors lie beside the repository, and are not here")
    found: list[dict[str, Any]] = json.loads(VECTORS.read_text())[name]
    return found


def cells(platform: str, *given: dict[str, str]) -> list[dict[str, str]]:
    """Return the cells that a platform gets for customers with these values, in their order."""
    columns = sorted({"customer_id", "email", "newsletter"}.union(*given))
    rows = [
        {"customer_id": f"c{number:03}", "email": "some@example.org", "newsletter": "subscribed"} | one
        for number, one in enumerate(given)
    ]
    imported = shop.import_rows(
        "customers", *([row.get(name, "") for name in columns] for row in rows), header=",".join(columns)
    )
    assert not imported.refused
    everybody()
    file, _ = exported("everybody", platform)
    exported_rows = dict(
        zip(Customer.objects.order_by("pk").values_list("customer_id", flat=True), file, strict=True)
    )
    return [exported_rows[row["customer_id"]] for row in rows]


def of_column(column: str, raw: str) -> dict[str, str]:
    """Return the customer's value from which a column is written."""
    if column == "EXTERN_ID":
        return {"customer_id": raw}
    if column.startswith("DOB"):
        born = {"DOBY": "1990", "DOBM": "01", "DOBD": "01"} | {column: raw.zfill(2)}
        return {"birth_date": "-".join(born.values())}
    return {SOURCES[column]: raw}


def test_meta_gets_what_its_own_code_would_send() -> None:
    expected = {
        (FIELDS[one["field"]], one["raw"]): one["sha256"]
        for one in vectors("meta_capi_normalize")
        if one["field"] in FIELDS and one["raw"] != one["sha256"]
    }
    # In any script, as the digests of Meta's page of parameters are.
    expected["FN", "Émilie"] = sha("émilie")
    # Without a leading zero, as the Conversions API has it.
    expected["PHONE", "0044 844 412 4653"] = sha("448444124653")
    for one in vectors("meta_custom_audience_multi_key"):
        expected.setdefault((one["key"], one["raw"]), one["sent"])
    for one in vectors("meta_email_single"):
        expected["EMAIL", one["raw"]] = one["sent"]

    exported_rows = cells("meta", *(of_column(column, raw) for column, raw in expected))

    got = {key: row[key[0]] for key, row in zip(expected, exported_rows, strict=True)}
    assert got == expected
    assert len(got) > 25


def test_what_meta_gets_is_hashed_once() -> None:
    [born] = [one for one in vectors("meta_capi_normalize") if one["field"] == "db"]
    [hashed] = [one for one in vectors("meta_capi_normalize") if one["raw"] == one["sha256"]]

    assert platforms.digest(born["raw"]) == born["sha256"]
    assert platforms.digest(hashed["raw"]) == hashed["sha256"]


def test_google_gets_its_published_examples() -> None:
    given = vectors("google_customer_match")
    published = [one for one in vectors("published") if one["reproduced"]]

    exported_rows = cells(
        "google",
        *(of_column(one["column"], one["raw"]) for one in given),
        *({"email": one["raw"]} for one in published),
    )

    for one, row in zip(given, exported_rows, strict=False):
        assert row[one["column"]] == (one["sha256"] or one["normalised"])
    assert [row["Email"] for row in exported_rows[len(given) :]] == [one["sha256"] for one in published]


ANNA = {
    "customer_id": "=1+1",
    "email": "Anna@Example.org",
    "phone": "0151 1234567",
    "first_name": "Anna",
    "last_name": "O'Brien-Ähm",
    "country": "DE",
    "city": "Bad Homburg (Höhe)",
    "birth_date": "1990-05-07",
    "postcode": "+cmd|calc",
    "gender": "weiblich",
}


def test_a_customer_as_meta_gets_them() -> None:
    [exported_rows] = cells("meta", ANNA)

    hashed = {
        "EMAIL": "anna@example.org", "PHONE": "491511234567", "FN": "anna", "LN": "obrienähm", "CT": "badhomburghöhe",
        "ZIP": "+cmd|calc", "COUNTRY": "de", "DOBY": "1990", "DOBM": "05", "DOBD": "07",
    }  # fmt: skip
    assert exported_rows == {name: sha(text) for name, text in hashed.items()} | {
        "ST": "",
        "GEN": "",
        "EXTERN_ID": "'=1+1",
    }


@pytest.mark.parametrize(
    ("column", "raw", "digest"),
    [
        # As Meta publishes them.
        ("FN", "Valéry", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
        ("FN", "Vale\u0301ry", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
        ("LN", "정", "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"),
        ("LN", " D’Arc-Ünal ", sha("darcünal")),
        ("LN", "Ó Súilleabháin", sha("ósúilleabháin")),
        ("LN", "МИРОНОВ", sha("миронов")),
    ],
)
def test_meta_gets_names_in_any_script(column, raw, digest) -> None:
    assert [row[column] for row in cells("meta", of_column(column, raw))] == [digest]


@pytest.mark.parametrize(
    ("raw", "compared"),
    [
        ("Jane.Doe+shop@gmail.com", "janedoe@gmail.com"),
        ("J.a.n.e@GoogleMail.com", "jane@googlemail.com"),
        ("jane.doe+shop@example.org", "jane.doe+shop@example.org"),
        ("jane.doe@mail.gmail.com.example.org", "jane.doe@mail.gmail.com.example.org"),
    ],
)
def test_google_compares_addresses_of_gmail_without_dots_and_tags(raw, compared) -> None:
    assert [row["Email"] for row in cells("google", {"email": raw})] == [sha(compared)]
    [to_meta] = exported("everybody", "meta")[0]
    assert to_meta["EMAIL"] == sha(raw.lower())


def test_a_customer_as_google_gets_them_is_no_formula() -> None:
    numbers = ("+49 30 123456", "0049 30 123456", "(030) 123456")

    exported_rows = cells("google", ANNA, *({"phone": number, "postcode": "10115"} for number in numbers))

    assert exported_rows[0] == {
        "Email": sha("anna@example.org"),
        "Phone": sha("+491511234567"),
        "First Name": sha("anna"),
        "Last Name": sha("o'brien-ähm"),
        "Country": "DE",
        "Zip": "'+cmd|calc",
    }
    # Of a number without its country nobody knows where to dial it.
    assert [row["Phone"] for row in exported_rows[1:]] == [sha("+4930123456"), sha("+4930123456"), ""]
    assert [row["Zip"] for row in exported_rows[1:]] == ["10115"] * 3


@pytest.mark.parametrize(
    ("country", "code"),
    [("de", "DE"), ("USA", "US"), ("U.S.", "US"), ("UK", "GB"), ("Germany", ""), ("Österreich", "")],
)
def test_a_country_is_exported_if_its_code_is_known(country: str, code: str) -> None:
    assert platforms.country_code(country).upper() == code


# -- Who is in it


def test_only_customers_who_consent_are_exported() -> None:
    shop.customers(
        "yes,yes@example.org,,subscribed,",
        "no,no@example.org,,never,",
        "left,left@example.org,,unsubscribed,",
        "ads,ads@example.org,,unsubscribed,TRUE",
        "one,one@example.org,,,1",
        "noads,noads@example.org,,subscribed,false",
        "odd,odd@example.org,,subscribed,perhaps",
        "nobody,,,subscribed,true",
        header=PEOPLE,
    )
    everybody(first_seen={"ever": True})

    exported_rows, _ = exported("everybody", "meta")

    names = ("yes", "no", "left", "ads", "one", "noads", "odd")
    assert set(emails(exported_rows, *names)) == {"yes", "ads", "one"}


@pytest.fixture
def five() -> int:
    """Members a to e, of whom all but e consent. Return the last change in the first full file."""
    shop.customers(
        *(f"{name},{name}@example.org,,subscribed," for name in "abcd"), "e,e@example.org,,,", header=PEOPLE
    )
    everybody(**{"none": [{"attribute": {"name": "out", "exists": True}}]})
    exported_rows, until = exported("everybody", "meta")
    assert set(emails(exported_rows, *"abcde")) == set("abcd")
    return until


def put(name: str, **cells: str) -> None:
    shop.import_rows("customers", [name, *cells.values()], header=",".join(["customer_id", *cells]))


def test_changes_contain_additions_and_removals(five: int) -> None:
    put("a", out="yes")
    put("b", newsletter="unsubscribed")
    put("c", ads_consent="false")
    put("f", email="f@example.org", newsletter="subscribed")
    put("e", ads_consent="true")
    put("g", email="g@example.org")
    refresh_all()

    exported_rows, until = exported("everybody", "meta", "--since", five)

    expected = {"a": "remove", "b": "remove", "c": "remove", "e": "add", "f": "add"}
    assert emails(exported_rows, *"abcdefg") == expected
    assert until > five
    # Asked again, the same; whatever has been asked before.
    assert exported("everybody", "meta", "--since", five) == (exported_rows, until)
    for only in ("add", "remove"):
        part, _ = exported("everybody", "meta", "--since", five, "--only", only)
        assert "operation" not in part[0]
        assert set(emails(part, *"abcdefg")) == {name for name, way in expected.items() if way == only}
    assert exported("everybody", "meta", "--since", until) == ([], until)
    # The other platform has never heard of any of them.
    assert len(exported("everybody", "google")[0]) == 3


def test_a_change_of_consent_alone_is_exported_until_the_next_change(five: int) -> None:
    put("d", newsletter="unsubscribed")
    refresh_all()

    exported_rows, until = exported("everybody", "meta", "--since", five)
    assert (emails(exported_rows, "d"), until) == ({"d": "remove"}, five)
    assert exported("everybody", "meta", "--since", five) == (exported_rows, five)

    put("h", email="h@example.org", newsletter="subscribed")
    refresh_all()
    exported_rows, until = exported("everybody", "meta", "--since", five)
    assert emails(exported_rows, "d", "h") == {"d": "remove", "h": "add"}
    assert exported("everybody", "meta", "--since", until)[0] == []


def test_a_customer_who_returns_is_added_again(five: int) -> None:
    put("d", newsletter="unsubscribed")
    _, then = exported("everybody", "meta", "--since", five)
    put("d", newsletter="subscribed")

    assert emails(exported("everybody", "meta", "--since", then)[0], "d") == {"d": "add"}


def test_without_an_earlier_full_file_the_members_of_that_time_count_as_exported() -> None:
    shop.customers(*(f"{name},{name}@example.org,,subscribed," for name in "ab"), header=PEOPLE)
    everybody(**{"none": [{"attribute": {"name": "out", "exists": True}}]})
    since = Change.objects.latest("pk").pk
    put("a", out="yes")
    put("c", email="c@example.org", newsletter="subscribed")
    refresh_all()

    exported_rows, _ = exported("everybody", "google", "--since", since)

    found = {row["Email"]: row["operation"] for row in exported_rows}
    assert found == {sha("a@example.org"): "remove", sha("c@example.org"): "add"}


def test_erased_customers_are_in_no_later_file(five: int) -> None:
    customer = lookup.find_customer("a")
    assert customer
    personal_data.erase_customer(customer, datetime.now(UTC))
    refresh_all()

    exported_rows, _ = exported("everybody", "meta", "--since", five)

    assert exported_rows == []
    assert AudienceMember.objects.count() == 3


def test_every_export_is_recorded(five: int) -> None:
    put("f", email="f@example.org", newsletter="subscribed")
    refresh_all()
    segment = Segment.objects.get(slug="everybody")
    file = exports.export_audience(segment, "meta", datetime.now(UTC), since=five, by="anna")
    assert len("".join(file.batches).splitlines()) == 2

    latest, first = AudienceExport.objects.all()
    assert (latest.since, latest.until, latest.rows, latest.exported_by_name) == (five, file.until, 1, "anna")
    assert (first.since, first.until, first.rows) == (None, five, 4)


def test_changes_continue_from_a_deleted_change(five: int) -> None:
    Change.objects.all().delete()

    assert exported("everybody", "meta", "--since", five) == ([], five)


def test_a_file_is_read_in_batches(five: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "EXPORT_BATCH_SIZE", 3)

    assert set(emails(exported("everybody", "meta")[0], *"abcd")) == set("abcd")


def test_the_command_says_what_to_change() -> None:
    everybody()

    for options, complaint in {
        ("everybody", "--for", "bing"): "invalid choice: 'bing'",
        ("nobody", "--for", "meta"): "there is no segment 'nobody'",
        (
            "everybody",
            "--for",
            "meta",
            "--since",
            "99",
        ): "there is no change 99 of this segment; the latest is 0",
        ("everybody", "--for", "meta", "--only", "add"): "--only requires --since",
    }.items():
        with pytest.raises(CommandError, match=complaint):
            call_command("export_audience", *options)
