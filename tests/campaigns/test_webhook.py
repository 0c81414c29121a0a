"""Messages to other systems: signed by Standard Webhooks, and retried where that can help."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from campaigns import lifecycle
from campaigns.channels import webhook
from campaigns.channels.base import OutgoingMessage, TemporaryFailure, Undeliverable
from campaigns.channels.webhook import Webhook
from campaigns.models import Campaign, Delivery, Step
from segments_project.server import bundled_servers
from tests.support import campaign_runs, sent_messages, shop
from tests.support.shop import NOON
from tests.support.webhook_receiver import Receiver, Reply

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    with Receiver("127.0.0.1").listening() as receiver:
        yield receiver


@pytest.fixture
def channel() -> Iterator[Webhook]:
    channel = Webhook()
    yield channel
    channel.close()


@pytest.fixture
def delivery() -> Delivery:
    shop.customers("c1,c1@example.org")
    return sent_messages.sent(sent_messages.campaign("Letter", channel=Webhook.key), "c1", AT)


def test_a_message_is_posted_and_signed(
    receiver: Receiver, channel: Webhook, delivery: Delivery, settings: Any
) -> None:
    before = webhook.signing_secrets(receiver.url)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"
    for _ in range(2):
        channel.send(delivery, OutgoingMessage("Hello", "Dear c1 🛍", "<p>Dear c1</p>", receiver.url))

    first, again = receiver.received
    # By its id a receiver knows what it has got already.
    assert first.id == again.id == f"msg_{delivery.token.hex}"
    for secret in (*webhook.signing_secrets(receiver.url), *before):
        assert first.verified_with(secret) == {
            "type": "campaign.message",
            "timestamp": "2026-03-15T12:00:00Z",
            "data": {
                "campaign": "Letter",
                "segment": "everybody",
                "step": 1,
                "customer_id": "c1",
                "subject": "Hello",
                "text": "Dear c1 🛍",
                "html": "<p>Dear c1</p>",
            },
        }


def test_each_host_has_its_own_secret(receiver: Receiver, channel: Webhook, delivery: Delivery) -> None:
    channel.send(delivery, OutgoingMessage(url=receiver.url))

    assert webhook.signing_secrets(f"{receiver.url}/other?x=1") == webhook.signing_secrets(receiver.url)
    with pytest.raises(WebhookVerificationError):
        receiver.received[0].verified_with(webhook.signing_secrets("https://example.org/")[0])
    assert shop.command("webhook_secret", receiver.url).strip() == webhook.signing_secrets(receiver.url)[0]


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        *((status, TemporaryFailure) for status in (408, 409, 425, 429, 500, 503)),
        *((status, Undeliverable) for status in (301, 400, 401, 404, 410, 422)),
    ],
)
def test_the_response_decides_about_retries(
    receiver: Receiver, channel: Webhook, delivery: Delivery, status: int, meaning: type[Exception]
) -> None:
    receiver.respond = lambda _: Reply(status)

    with pytest.raises(meaning):
        channel.send(delivery, OutgoingMessage(url=receiver.url))


def test_an_unreachable_host_is_waited_for_once_per_run(
    channel: Webhook, delivery: Delivery, receiver: Receiver
) -> None:
    port = bundled_servers.free_port()

    for _ in range(2):
        with pytest.raises(TemporaryFailure, match="No connection"):
            channel.send(delivery, OutgoingMessage(url=f"http://127.0.0.1:{port}/"))
    channel.send(delivery, OutgoingMessage(url=receiver.url))
    assert len(receiver.received) == 1


def test_private_addresses_are_not_called(
    channel: Webhook, delivery: Delivery, receiver: Receiver, settings: Any
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []

    with pytest.raises(TemporaryFailure, match="private or local address"):
        channel.send(delivery, OutgoingMessage(url=receiver.url))
    for nowhere in ("", "ftp://example.org", "https://user:pass@example.org/", "https://exa mple.org"):
        with pytest.raises(Undeliverable, match="The URL is not allowed"):
            channel.send(delivery, OutgoingMessage(url=nowhere))
    assert not receiver.received


def test_a_campaign_posts_its_messages_once(receiver: Receiver) -> None:
    with campaign_runs.clock() as move:
        segment = shop.segment("buyers", campaign_runs.BUYERS)
        move(NOON)
        shop.customers("c1,c1@example.org", "c2,")
        letters = lifecycle.save_campaign(
            Campaign(segment=segment, name="Letters"),
            [
                Step(
                    channel=Webhook.key,
                    url=receiver.url,
                    text="Dear {{ customer.first_name | default: 'friend' }}",
                )
            ],
        )
        lifecycle.start(letters, NOON)
        campaign_runs.order("c1", NOON)
        campaign_runs.order("c2", NOON)
        receiver.replies(Reply(503))

        move(NOON + timedelta(minutes=1))
        move(NOON + timedelta(minutes=5))
        move(NOON + timedelta(minutes=9))

    assert sorted(one.data["customer_id"] for one in receiver.received) in (
        ["c1", "c1", "c2"],
        ["c1", "c2", "c2"],
    )
    assert {one.data["text"] for one in receiver.received} == {"Dear friend"}
    assert len({one.id for one in receiver.received}) == 2
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
