"""Hold the documentation to the code: what exists is named, and what is generated is fresh.

Every setting, metric, error code, command-line flag and ``model.yaml`` field must stand in its
page; every relative link and every path in ``code`` quotes must lead somewhere. ``--write`` renews
the tables between ``<!-- generated: NAME -->`` and ``<!-- end generated -->``.
"""

from __future__ import annotations

import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
import typer

from penstock.app.cli.main import app
from penstock.app.load_settings import describe_type, setting_types, setting_values
from penstock.app.settings import Settings
from penstock.core.byte_size import ByteSize, show_bytes
from penstock.core.errors import ErrorCode, PenstockError
from penstock.dialects.open_inference.errors import GRPC_STATUS, HTTP_STATUS
from penstock.jobs.batch.spec import INPUTS, OUTPUTS, JobFields
from penstock.repository.manifest import Manifest
from penstock.telemetry.metric_specs import METRICS

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
_PATH = re.compile(r"`((?:src|tests|tools|benchmarks|docs|examples|models(?=/digits))/[\w./-]+)`")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def pages() -> list[Path]:
    """Every page of the documentation."""
    roots = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")]
    return [page for page in roots if page.exists()] + sorted((ROOT / "docs").rglob("*.md"))


def missing(names: Iterable[str], text: str) -> list[str]:
    """The names that stand nowhere in ``code`` quotes in a text."""
    return [name for name in names if f"`{name}`" not in text]


def manifest_fields(struct: Any = Manifest, prefix: str = "") -> Iterator[str]:
    """Every field of ``model.yaml``, dotted; ``[]`` after a list of mappings.

    The outputs of a signature have the fields of its inputs and are not told twice.
    """
    hints = typing.get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        name = f"{prefix}{field.name}"
        yield name
        hint = hints[field.name]
        if name == "signature.outputs":
            continue
        for inner, is_list in _structs(hint):
            yield from manifest_fields(inner, f"{name}[]." if is_list else f"{name}.")


def _structs(hint: Any, is_list: bool = False) -> Iterator[tuple[Any, bool]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint, is_list
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType, tuple):
        for inner in typing.get_args(hint):
            yield from _structs(inner, is_list or origin is tuple)


def commands() -> dict[str, click.Command]:
    """Every command of the command line: ``serve``, ``models list`` and so on."""
    root = typer.main.get_command(app)
    return dict(_leaves(root, ""))


def _leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for child, inner in command.commands.items():
            yield from _leaves(inner, f"{name} {child}".strip())
    else:
        yield name, command


def flags() -> list[str]:
    """Every long option of every command."""
    found = {
        option
        for command in commands().values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    return sorted(found)


def settings_table() -> str:
    """Every setting: type, default, meaning."""
    meanings = dict(_meanings(Settings, ""))
    defaults = setting_values(Settings())
    rows = [
        (f"`{name}`", describe_type(kind), _default(defaults[name]), meanings[name])
        for name, kind in setting_types().items()
    ]
    return _table(("Setting", "Type", "Default", "Meaning"), rows)


def _default(value: object) -> str:
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    text = text.lower() if isinstance(value, bool) else text
    return f"`{text}`" if text else "empty"


def _meanings(struct: Any, prefix: str) -> Iterator[tuple[str, str]]:
    told = attributes(struct)
    for field in msgspec.structs.fields(struct):
        hint = typing.get_type_hints(struct)[field.name]
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from _meanings(hint, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", told.get(field.name, "")


def attributes(owner: type) -> dict[str, str]:
    """The ``Attributes:`` of a class's docstring: name to text."""
    _, _, section = (owner.__doc__ or "").partition("Attributes:\n")
    entries = re.findall(r"^ +(\w+(?:, \w+)*): (.*(?:\n {12,}\S.*)*)", section, re.MULTILINE)
    return {
        name: re.sub(r"\s+", " ", text).replace("``", "`")
        for names, text in entries
        for name in names.split(", ")
    }


def metrics_table() -> str:
    """Every metric: kind, labels, meaning."""
    rows = [
        (f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels), m.meaning)
        for m in METRICS
    ]
    return _table(("Metric", "Kind", "Labels", "Meaning"), rows)


def errors_table() -> str:
    """Every error code: HTTP and gRPC status, whether to try again, meaning."""
    classes = {cls.code: cls for cls in reversed(list(_subclasses(PenstockError)))}
    rows = []
    for code in ErrorCode:
        meaning = (classes[code].__doc__ or "").split("\n")[0]
        retry = "yes" if classes[code].retryable else "no"
        row = (f"`{code}`", str(HTTP_STATUS[code]), f"`{GRPC_STATUS[code].name}`", retry, meaning)
        rows.append(row)
    return _table(("Code", "HTTP", "gRPC", "Retryable", "Meaning"), rows)


def _subclasses(cls: type[PenstockError]) -> Iterator[type[PenstockError]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def cli_tables() -> str:
    """Every command with its arguments and options."""
    parts = []
    for name, command in commands().items():
        parts.append(f"### penstock {name}\n\n{_plain((command.help or '').strip())}\n")
        rows = [(f"`{_spelled(p)}`", _plain(getattr(p, "help", "") or "")) for p in command.params]
        parts.append(_table(("Argument", "Meaning"), rows))
    return "\n".join(parts)


def _spelled(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.metavar or (parameter.name or "").upper()
    option = max(parameter.opts, key=len)
    is_flag = isinstance(parameter, click.Option) and parameter.is_flag
    return (
        option
        if is_flag
        else f"{option}` `{parameter.metavar or parameter.type.name.split()[0].upper()}"
    )


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def job_table() -> str:
    """Every field of a batch job's file but its input and its output."""
    return _fields_table(JobFields)


def formats_table(kinds: Mapping[str, type[msgspec.Struct]]) -> str:
    """The fields of each format of a batch job's input or output."""
    return "\n".join(
        f"#### format: {name}\n\n{_plain(_summary(kind))}\n\n{_fields_table(kind)}"
        for name, kind in kinds.items()
    )


def _fields_table(owner: type[msgspec.Struct]) -> str:
    told = attributes(owner)
    rows = [
        (f"`{field.name}`", _field_default(field), _plain(told.get(field.name, "")))
        for field in msgspec.structs.fields(owner)
    ]
    return _table(("Field", "Default", "Meaning"), rows)


def _field_default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "has to be said"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if isinstance(value, msgspec.Struct):
        pairs = ((name, getattr(value, name)) for name in value.__struct_fields__)
        value = ", ".join(f"{name}: {one}" for name, one in pairs if one not in ("", {}))
    elif isinstance(value, ByteSize):
        value = show_bytes(value)
    elif isinstance(value, bool):
        value = str(value).lower()
    return "nothing" if value in (None, "", (), {}) else f"`{value}`"


def _summary(owner: type) -> str:
    """The first paragraph of a class's docstring."""
    text = (owner.__doc__ or "").partition("\n\n")[0]
    return re.sub(r"\s+", " ", text).replace("``", "`")


TABLES: Mapping[str, Callable[[], str]] = {
    "job": job_table,
    "inputs": lambda: formats_table(INPUTS),
    "outputs": lambda: formats_table(OUTPUTS),
    "settings": settings_table,
    "metrics": metrics_table,
    "errors": errors_table,
    "cli": cli_tables,
}


def renew(text: str) -> str:
    """A page with its generated blocks as the code has them now."""
    return _BLOCK.sub(lambda m: f"{m[1]}\n{TABLES[m[2]]()}\n{m[3]}", text)


def dead_paths(page: Path) -> Iterator[str]:
    """Relative links and quoted paths of a page that lead nowhere."""
    text = page.read_text()
    for link in _LINK.findall(_FENCE.sub("", text)):
        if "://" not in link and not (page.parent / link).exists():
            yield f"link to '{link}' leads nowhere"
    for path in _PATH.findall(text):
        if "NNNN" not in path and not (ROOT / path).exists():
            yield f"there is no '{path}'"


def problems() -> list[str]:
    """Everything that is wrong with the documentation, one line each."""
    names = {
        "settings.md": list(setting_types()),
        "metrics.md": [metric.name for metric in METRICS],
        "errors.md": [str(code) for code in ErrorCode],
        "cli.md": flags(),
        "model-repository.md": list(manifest_fields()),
    }
    found = []
    for file, wanted in names.items():
        text = (ROOT / "docs" / file).read_text()
        found += [f"docs/{file}: does not name `{name}`" for name in missing(wanted, text)]
    errors = (ROOT / "docs/errors.md").read_text()
    found += [
        f"docs/errors.md: no advice on {c}" for c in ErrorCode if f"\n### {c}\n" not in errors
    ]
    for page in pages():
        where = page.relative_to(ROOT).as_posix()
        text = page.read_text()
        if renew(text) != text:
            found.append(f"{where}: tables are out of date, run tools/check_docs.py --write")
        found += [f"{where}: {problem}" for problem in dead_paths(page)]
    return found


def main() -> int:
    """Check the documentation, or with ``--write`` renew its tables first."""
    if "--write" in sys.argv:
        for page in pages():
            text = page.read_text()
            if renew(text) != text:
                page.write_text(renew(text))
                print("renewed", page.relative_to(ROOT))
    found = problems()
    for problem in found:
        print(problem)
    print(f"docs: {len(found)} problems" if found else "docs: ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
