"""Which versions serve, as a table."""

import pytest

from penstock.core.errors import ConfigError
from penstock.lifecycle.version_policy import choose_versions
from penstock.repository.manifest import VersionPolicyFields as Fields


@pytest.mark.parametrize(
    ("policy", "available", "chosen"),
    [
        ("all", [3, 1, 2], (1, 2, 3)),
        ("all", [], ()),
        (Fields(latest=1), [1, 10, 9], (10,)),
        (Fields(latest=2), [1, 10, 9], (9, 10)),
        (Fields(latest=5), [2, 1], (1, 2)),
        (Fields(latest=1), [], ()),
        (Fields(specific=(3, 1)), [1, 2, 3], (1, 3)),
        (Fields(specific=(7,)), [1, 2], ()),
        (Fields(specific=(0,)), [0], (0,)),
    ],
)
def test_chooses(policy: Fields, available: list[int], chosen: tuple[int, ...]) -> None:
    assert choose_versions(policy, available) == chosen


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (
            Fields(),
            "version_policy: exactly one of 'latest' and 'specific' must be set, got neither",
        ),
        (
            Fields(latest=1, specific=(1,)),
            "version_policy: exactly one of 'latest' and 'specific' must be set, got both",
        ),
        (Fields(latest=0), "version_policy.latest: expected at least 1, got 0"),
        (
            Fields(specific=()),
            "version_policy.specific: expected at least one version, got none",
        ),
        (Fields(specific=(-1,)), "version_policy.specific: a version is a number >= 0, got -1"),
    ],
)
def test_refuses(policy: Fields, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_versions(policy, [1])
    assert caught.value.message == text
