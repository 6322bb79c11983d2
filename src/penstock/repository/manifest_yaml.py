"""YAML text to plain values: the safe part of YAML, with positions in every refusal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any

from penstock.core.errors import ConfigError

if TYPE_CHECKING:
    import yaml

MAX_MANIFEST_BYTES = 1024 * 1024
"""The largest model.yaml that is read."""

_MAX_DEPTH = 32


def parse_yaml(content: bytes, source: str) -> object:
    """Read one YAML document into dicts, lists and scalars.

    Law: time and memory are linear in ``len(content)``: aliases, which can grow without bound,
    are refused, and so is nesting deeper than 32.

    Args:
        content: UTF-8 text, at most ``MAX_MANIFEST_BYTES``.
        source: what an error calls this text: the file's path.

    Returns:
        The document; None: it is empty.

    Raises:
        ConfigError: too large, not UTF-8, not YAML (names line and column), a duplicate key, an
            alias, a tag that asks for an object, nested too deeply.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise ConfigError(f"{source}: larger than {MAX_MANIFEST_BYTES} bytes, the limit")
    text = _decode(content, source)
    import yaml  # here, because only those who have a model.yaml should pay for it

    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_nesting(yaml.parse(text, Loader=loader_class), source)
        node = yaml.compose(text, Loader=loader_class)
        return None if node is None else _Reader(source).value(node)
    except yaml.MarkedYAMLError as err:
        raise ConfigError(_marked(err, source)) from err
    except (yaml.YAMLError, ValueError) as err:
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise ConfigError(f"{source}: not valid YAML: {reason}") from err


def _decode(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise ConfigError(f"{source}: not UTF-8 text (byte {err.start})") from err


def _marked(err: yaml.MarkedYAMLError, source: str) -> str:
    """``model.yaml:3:7: not valid YAML: ...`` of an error with a position."""
    mark = err.problem_mark or err.context_mark
    place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    context = f", {err.context}" if err.context else ""
    return f"{source}{place}: not valid YAML: {err.problem or 'cannot be read'}{context}"


def _check_nesting(events: Iterable[yaml.Event], source: str) -> None:
    """Refuse what only composing the document would find too late.

    libyaml composes by recursion in C without a limit: a megabyte of ``[`` ends the process.
    """
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            text = "aliases (*name) are not supported here; repeat the value"
            raise _refuse(source, event.start_mark, text)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise _refuse(source, event.start_mark, f"nested deeper than {_MAX_DEPTH}")


def _refuse(source: str, mark: Any, text: str) -> ConfigError:
    """An error at a ``yaml.Mark``."""
    return ConfigError(f"{source}:{mark.line + 1}:{mark.column + 1}: {text}")


class _Reader:
    """Makes values of one composed document."""

    def __init__(self, source: str) -> None:
        import yaml
        from yaml.constructor import SafeConstructor

        self._source = source
        self._scalars = SafeConstructor()
        self._tags: Mapping[type[yaml.Node], Set[str]] = {
            yaml.ScalarNode: {"str", "int", "float", "bool", "null", "timestamp"},
            yaml.SequenceNode: {"seq"},
            yaml.MappingNode: {"map"},
        }

    def value(self, node: yaml.Node) -> object:
        """The value of ``node``.

        Raises:
            ConfigError: a duplicate key, or a tag that asks for an object.
        """
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind not in self._tags[type(node)]:
            raise _refuse(
                self._source, node.start_mark, f"the tag {node.tag!r} is not supported here"
            )
        if kind == "map":
            return self._mapping(node.value)
        if kind == "seq":
            return [self.value(item) for item in node.value]
        value: object = self._scalars.construct_object(node)
        return value

    def _mapping(self, pairs: list[Any]) -> dict[object, object]:
        found: dict[object, object] = {}
        for key_node, value_node in pairs:
            key = self.value(key_node)
            if isinstance(key, dict | list):
                raise _refuse(self._source, key_node.start_mark, "a key must be text")
            if key in found:
                raise _refuse(self._source, key_node.start_mark, f"duplicate key {key!r}")
            found[key] = self.value(value_node)
        return found
