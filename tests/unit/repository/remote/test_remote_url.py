"""URLs: what each form means, what is refused, and that no secret is ever shown."""

from __future__ import annotations

import pytest

from penstock.core.errors import ConfigError
from penstock.repository.remote.remote_url import parse_remote_url
from penstock.repository.root import is_remote

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("text", "place", "name", "choice"),
    [
        ("s3://bucket/models/digits", "bucket/models/digits", "digits", ""),
        ("S3://bucket/models/", "bucket/models", "models", ""),
        ("gs://bucket", "bucket", "bucket", ""),
        ("az://container/a/fraud.onnx", "container/a/fraud.onnx", "fraud", ""),
        ("s3://bucket/models/v1.2", "bucket/models/v1.2", "v1", ""),
        ("models:/churn@champion", "churn", "churn", "@champion"),
        ("models:/churn/12", "churn", "churn", "/12"),
        ("models:/my model/1", "my model", "my-model", "/1"),
        ("hf://owner/name", "owner/name", "name", ""),
        ("hf://owner/name@refs/pr/1", "owner/name", "name", "refs/pr/1"),
        ("https://h:8/a/my%20m.onnx?x=1", "https://h:8/a/my%20m.onnx?x=1", "my-m", ""),
    ],
)
def test_what_a_url_means(text: str, place: str, name: str, choice: str) -> None:
    assert is_remote(text)
    url = parse_remote_url(text)
    assert (url.place, url.name, url.choice) == (place, name, choice)


def test_a_version_folder_is_that_version_of_the_model_above() -> None:
    url = parse_remote_url("s3://bucket/models/digits/3")
    assert (url.name, url.version) == ("digits", 3)


@pytest.mark.parametrize("path", ["models", "./a.onnx", "app.py:Class", "/s3:/x", "C:/models", ""])
def test_paths_are_no_urls(path: str) -> None:
    assert not is_remote(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ftp://host/m.onnx", "ftp://: models cannot be fetched from there; expected s3://"),
        ("s3://", "expected s3://bucket/path"),
        ("s3://bucket/a?versionId=1", "'\\?' and '#' have no meaning"),
        ("s3://bucket/../other", "'\\.\\.' has no meaning"),
        ("https://host", "expected the address of one file"),
        ("https://host/folder/", "expected the address of one file"),
        ("https://host/m.onnx#sha256=abc", "expected sha256= and 64 hex digits"),
        (f"https://host/m.onnx#md5={DIGEST}", "expected sha256= and 64 hex digits"),
        ("https://host:port/m.onnx", "the host or the port of this URL is wrong"),
        ("models:/churn", "expected models:/name@alias or models:/name/version"),
        ("models:/churn/Production", "expected models:/name@alias or models:/name/version"),
        ("hf://name", "expected hf://owner/name@revision"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_remote_url(text)


@pytest.mark.parametrize("url", ["s3://key:SECRET@bucket/m", "https://u:SECRET@host/m.onnx"])
def test_credentials_in_a_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="credentials do not belong in a URL") as caught:
        parse_remote_url(url)
    assert "SECRET" not in caught.value.message


def test_a_signed_address_is_shown_without_its_signature() -> None:
    url = parse_remote_url(f"https://host/m.onnx?sig=SECRET#sha256={DIGEST}")
    assert str(url) == repr(url) == "https://host/m.onnx"
    assert "SECRET" in url.place
