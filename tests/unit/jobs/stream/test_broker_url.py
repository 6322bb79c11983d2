"""A broker's URL, and that no password is shown."""

import msgspec
import pytest

from penstock.core.errors import ConfigError
from penstock.jobs.stream.broker_url import parse_broker_url
from penstock.jobs.stream.spec_brokers import KafkaInput, NatsOutput, RabbitInput

NATS = ("nats", "nats+tls")


def test_it_is_taken_apart() -> None:
    url = parse_broker_url("amqps://us%40er:p%2F%3A%40w@h:1/v%2Fhost", ("amqp", "amqps"), {})
    assert (url.scheme, url.hosts, url.path) == ("amqps", ("h:1",), "v/host")
    assert (url.username, url.password, url.has_tls) == ("us@er", "p/:@w", True)


def test_several_hosts_and_the_port_of_the_scheme() -> None:
    url = parse_broker_url("kafka://a,b:19092,[::1]", ("kafka",), {})
    assert url.hosts == ("a:9092", "b:19092", "[::1]:9092")
    assert not url.has_tls
    assert parse_broker_url("kafka+tls://a", ("kafka", "kafka+tls"), {}).has_tls


def test_user_and_password_may_stand_in_the_environment() -> None:
    environ = {"PENSTOCK_NATS_USERNAME": "who", "PENSTOCK_NATS_PASSWORD": "word"}
    url = parse_broker_url("nats://h", NATS, environ)
    assert (url.username, url.password) == ("who", "word")
    url = parse_broker_url("nats://me:mine@h", NATS, environ)
    assert (url.username, url.password) == ("me", "mine")


@pytest.mark.parametrize(
    "text",
    [
        "nats://u:hunter2@",
        "nats://u:hunter2@h:99999",
        "nats://u:hunter2@h:0",
        "nats://u:hunter2/@h",
        "nats://u:hunter2@h,,g",
        "nats://u:hunter2@h:1x",
        "redis://u:hunter2@h",
        "u:hunter2@h",
        "",
    ],
)
def test_what_is_wrong_is_told_without_the_password(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^source\.url: ") as caught:
        parse_broker_url(text, NATS, {}, "source.url")
    assert "hunter2" not in caught.value.message


def test_nothing_that_is_printed_shows_a_password() -> None:
    url = parse_broker_url("nats://who:hunter2@h/p", NATS, {})
    assert repr(url) == str(url) == "nats://h:4222/p"
    for spec in (
        KafkaInput(url="kafka://who:hunter2@h", topics=("t",), group="g"),
        NatsOutput(url="nats://who:hunter2@h", subject="s"),
        RabbitInput(url="amqp://who:hunter2@h", queue="q"),
    ):
        assert "hunter2" not in repr(spec)
        assert "hunter2" not in str(spec)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (KafkaInput, {"url": "u", "group": "g", "topics": []}),
        (KafkaInput, {"url": "u", "group": "", "topics": ["t"]}),
        (RabbitInput, {"url": "u", "queue": "q", "prefetch": 0}),
        (RabbitInput, {"url": "u", "queue": "q", "kind": "stream"}),
        (NatsOutput, {"url": "u", "subject": "s", "topic": "t"}),
    ],
)
def test_what_does_not_fit_is_refused(kind: type[msgspec.Struct], fields: dict) -> None:
    tag = kind.__struct_config__.tag
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"broker": tag, **fields}, kind)
