"""Webhooks cannot reach internal addresses: by number, by name, by redirect or by DNS rebinding."""

import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.exceptions import ValidationError

from segments.models import Attempt
from segments.webhooks import delivery

from .conftest import enter, subscribe

pytestmark = pytest.mark.django_db

PUBLIC, PRIVATE = "93.184.216.34", "10.1.2.3"


class Names:
    """A fake DNS: the addresses of host names, at first and from the second lookup on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known: dict[str, list[str]] = {}
        self.later: dict[str, list[str]] = {}
        self._ask_the_system = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        behind = self.known.get(host, [host])
        self.known |= {host: self.later[host]} if host in self.later else {}
        return [entry for address in behind for entry in self._ask_the_system(address, port, *args, **kwargs)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def refusal(url: str) -> str:
    with pytest.raises(ValidationError) as refused:
        subscribe(url)
    [told] = refused.value.message_dict["url"]
    return str(told)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.9.10",
        "[::1]",
        "0.0.0.0",
        "[::]",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[fc00::1]",
        "[fd12:3456::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.1.2.3]",
        "[::127.0.0.1]",
        "[64:ff9b::10.1.2.3]",
        "[2002:a01:203::1]",
        "[2001:0:a01:203::1]",
        "[2001:db8::1]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "localhost",
    ],
)
def test_addresses_outside_the_public_internet_are_refused(host: str) -> None:
    assert "private or local address" in refusal(f"https://{host}/hooks")


@pytest.mark.parametrize(
    "behind", [[PRIVATE], [PUBLIC, PRIVATE], [PRIVATE, PUBLIC], ["::1"], ["::ffff:10.0.0.1"]]
)
def test_a_name_with_a_private_address_is_refused(behind: list[str], names: Names) -> None:
    names.known["tool.example"] = behind

    assert "private or local address" in refusal("https://tool.example/hooks")
    assert PRIVATE not in refusal("https://tool.example/hooks")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://tool.example/", "Enter a web address"),
        ("file:///etc/passwd", "Enter a web address"),
        ("tool.example/hooks", "Enter a web address"),
        ("https://", "Enter a web address"),
        ("https://tool.example:99999/", "Enter a web address"),
        ("https://someone:secret@tool.example/", "user name and password"),
        ("https://tool.example/#there", "after #"),
        ("https://tool.example/a b", "no spaces"),
        ("https://tool.example/\r\nhost: other", "no spaces"),
        ("https://töol.example/", "xn--"),
        ("https://tool.example/" + "x" * 2_000, "longer than"),
        ("http://tool.example/", "Use https"),
        ("https://nowhere.invalid/", "No address was found"),
    ],
)
def test_the_error_of_an_invalid_url_says_what_to_change(url: str, told: str, names: Names) -> None:
    names.known |= {"tool.example": [PUBLIC], "nowhere.invalid": []}

    assert told in refusal(url)


def test_public_addresses_and_allowed_networks_are_accepted(names: Names, settings: Any) -> None:
    names.known["tool.example"] = [PUBLIC, "2606:2800:220:1::1"]
    names.known["intern.example"] = [PRIVATE, "fd00::7"]
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]

    subscribe("https://tool.example/hooks?shop=1")
    subscribe("http://intern.example:8080/hooks")
    assert "private" in refusal("https://192.168.1.1/")


def test_a_name_whose_address_becomes_private_is_not_called(vips, receiver, names, settings) -> None:
    names.known["tool.example"] = ["127.0.0.1"]
    subscribe(f"http://tool.example:{receiver.port}/hooks")
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    enter(vips, "c1")
    delivery.deliver_due()

    assert not receiver.received
    assert "private or local address" in Attempt.objects.get().problem


def test_the_checked_address_is_the_one_that_is_called(vips, receivers, names, settings) -> None:
    inside = receivers("127.0.0.1")
    outside = receivers("127.0.0.2", inside.port)
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.2/32")]
    names.known["tool.example"] = ["127.0.0.2"]
    subscribe(f"http://tool.example:{inside.port}/hooks")
    # From its next question on, the name leads to what is not allowed.
    names.later["tool.example"] = ["127.0.0.1"]
    enter(vips, "c1", "c2", "c3")
    delivery.deliver_due()

    assert not inside.received
    assert len(outside.received) == 3
    assert outside.received[0].headers["host"] == f"tool.example:{outside.port}"


def test_proxies_of_the_environment_are_ignored(vips, receivers, monkeypatch) -> None:
    receiver, proxy = receivers(), receivers()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    subscribe(receiver)
    enter(vips, "c1")
    delivery.deliver_due()

    assert receiver.said == [("vips", "c1", "entered")]
    assert not proxy.received


@pytest.mark.parametrize(("name", "is_taken"), [("tool.example", True), ("other.example", False)])
def test_the_certificate_must_match_the_host_name(
    name, is_taken, vips, receivers, names, tmp_path, monkeypatch
) -> None:
    receiver = receivers("127.0.0.1", 0, certificate("tool.example", tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    names.known[name] = ["127.0.0.1"]
    subscribe(f"https://{name}:{receiver.port}/hooks")
    enter(vips, "c1", "c2")
    delivery.deliver_due()

    assert len(receiver.received) == (2 if is_taken else 0)
    problem = Attempt.objects.latest("pk").problem
    assert ("Hostname mismatch" in problem) is not is_taken


def test_a_certificate_of_an_unknown_issuer_is_refused(vips, receivers, names, tmp_path) -> None:
    receiver = receivers("127.0.0.1", 0, certificate("tool.example", tmp_path))
    names.known["tool.example"] = ["127.0.0.1"]
    subscribe(f"https://tool.example:{receiver.port}/hooks")
    enter(vips, "c1")
    delivery.deliver_due()

    assert not receiver.received
    assert "the certificate is not valid" in Attempt.objects.get().problem


def certificate(name: str, folder: Path) -> tuple[str, str]:
    """Create a self-signed certificate for a name. Return the paths of the certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(files[0]), str(files[1])
