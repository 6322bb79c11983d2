"""model.yaml: what is read, and the exact text of each refusal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.core.errors import ConfigError
from penstock.repository.manifest import (
    Batching,
    Instances,
    Manifest,
    Pad,
    Queue,
    SignatureFields,
    TensorField,
    VersionPolicyFields,
    Warmup,
)
from penstock.repository.manifest_file import apply_overrides, parse_manifest, read_manifest

SOURCE = "models/fraud/model.yaml"


def refusal(text: str | bytes) -> str:
    """The error's text, without the file's name."""
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigError) as caught:
        parse_manifest(content, SOURCE)
    assert caught.value.message.startswith(SOURCE + ":")
    return caught.value.message[len(SOURCE) + 1 :].strip()


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "---\n"])
def test_an_empty_file_means_all_defaults(text: str) -> None:
    assert parse_manifest(text.encode(), SOURCE) == Manifest()


def test_every_field_is_read() -> None:
    text = """
runtime: python
entry: app.py:Fraud
description: finds fraud
max_batch_size: 32
batching:
  max_queue_delay_s: 1
  preferred_batch_sizes: [8, 16]
  pad: {axis: 2, to_multiple_of: 8, bucket_width: 4, value: 1.5, inputs: [ids]}
queue: {max_requests: 10, max_bytes: 256MiB, default_timeout_s: 2.5}
instances: {count: 2, kind: thread, threads_per_instance: 0, device: "cuda:1", inline: never}
version_policy: {specific: [1, 3]}
labels: {stable: 1, canary: 3}
warmup: [{file: warmup.json, count: 3}]
signature:
  inputs: [{name: ids, datatype: INT64, shape: [-1, -1], optional: true, description: tokens}]
  outputs: [{name: p, datatype: FP32, shape: [-1, 2], labels: ["no", "yes"]}]
runtime_options: {anything: {goes: [1, null]}}
"""
    assert parse_manifest(text.encode(), SOURCE) == Manifest(
        runtime="python",
        entry="app.py:Fraud",
        description="finds fraud",
        max_batch_size=32,
        batching=Batching(
            max_queue_delay_s=1.0,
            preferred_batch_sizes=(8, 16),
            pad=Pad(axis=2, to_multiple_of=8, bucket_width=4, value=1.5, inputs=("ids",)),
        ),
        queue=Queue(max_requests=10, max_bytes=256 * 1024**2, default_timeout_s=2.5),  # type: ignore[arg-type]
        instances=Instances(count=2, threads_per_instance=0, device="cuda:1", inline="never"),
        version_policy=VersionPolicyFields(specific=(1, 3)),
        labels={"stable": 1, "canary": 3},
        warmup=(Warmup(file="warmup.json", count=3),),
        signature=SignatureFields(
            inputs=(
                TensorField(
                    name="ids",
                    datatype="INT64",
                    shape=(-1, -1),
                    optional=True,
                    description="tokens",
                ),
            ),
            outputs=(TensorField(name="p", datatype="FP32", shape=(-1, 2), labels=("no", "yes")),),
        ),
        runtime_options={"anything": {"goes": [1, None]}},
    )


def test_all_is_a_version_policy() -> None:
    assert parse_manifest(b"version_policy: all", SOURCE).version_policy == "all"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "batching: {max_queue_delay: 1}",
            "$.batching.max_queue_delay: unknown field, did you mean 'max_queue_delay_s'?",
        ),
        (
            "instances: {zzz: 1}",
            "$.instances.zzz: unknown field, expected one of: count, kind, threads_per_instance, "
            "device, inline, idempotent, python, env, working_dir, max_memory, cpus, kill_after_s",
        ),
        (
            "max_batch_size: 2147483648",
            "$.max_batch_size: expected a whole number from 0 to 2147483647, got 2147483648",
        ),
        (
            "queue: {max_requests: 4294967296}",
            "$.queue.max_requests: expected a whole number from 1 to 4294967295, got 4294967296",
        ),
        (
            "version_policy: {latest: 4294967296}",
            "$.version_policy.latest: expected a whole number from 1 to 4294967295, got 4294967296",
        ),
        ("instances: {count: 0}", "$.instances.count: expected a whole number >= 1, got 0"),
        (
            "instances: {count: two}",
            "$.instances.count: expected a whole number >= 1, got text 'two'",
        ),
        ("instances: {count: true}", "$.instances.count: expected a whole number >= 1, got true"),
        ("instances: {count: 1.5}", "$.instances.count: expected a whole number >= 1, got 1.5"),
        (
            "instances: {threads_per_instance: -1}",
            "$.instances.threads_per_instance: expected a whole number >= 0, got -1",
        ),
        (
            "instances: {kind: fork}",
            "$.instances.kind: expected 'process' or 'thread', got text 'fork'",
        ),
        (
            "instances: {max_memory: 1GiB}",
            "$.instances.max_memory: only a copy in a process has it: say 'kind: process' too",
        ),
        (
            "instances: {kind: process, max_memory: 0}",
            "$.instances.max_memory: expected a size in bytes such as 256MiB, got 0",
        ),
        ("instances: {inline: yes}", "$.instances.inline: expected 'auto' or 'never', got true"),
        (
            "instances: {device: gpu}",
            "$.instances.device: expected cpu, cuda or cuda:N, got 'gpu'",
        ),
        ("instances: 3", "$.instances: expected a mapping, got 3"),
        ("queue:", "$.queue: expected a mapping, got nothing (null)"),
        (
            "queue: {max_bytes: lots}",
            "$.queue.max_bytes: expected a size in bytes such as 256MiB, got text 'lots'",
        ),
        (
            "queue: {max_bytes: 0}",
            "$.queue.max_bytes: expected a size in bytes such as 256MiB, got 0",
        ),
        (
            "queue: {max_requests: 0}",
            "$.queue.max_requests: expected a whole number from 1 to 4294967295, got 0",
        ),
        (
            "queue: {default_timeout_s: 0}",
            "$.queue.default_timeout_s: expected a number > 0 and <= 31536000, got 0",
        ),
        (
            "queue: {default_timeout_s: 1.0e+308}",
            "$.queue.default_timeout_s: expected a number > 0 and <= 31536000, got 1e+308",
        ),
        (
            "batching: {max_queue_delay_s: 31536001}",
            "$.batching.max_queue_delay_s: expected a number from 0 to 31536000, got 31536001",
        ),
        (
            "response_cache: {ttl_s: 1.0e+300}",
            "$.response_cache.ttl_s: expected a number > 0 and <= 31536000, got 1e+300",
        ),
        (
            "queue: {default_timeout_s: .inf}",
            "$.queue.default_timeout_s: expected a number > 0 and <= 31536000, got inf",
        ),
        (
            "batching: {max_queue_delay_s: .nan}",
            "$.batching.max_queue_delay_s: expected a number from 0 to 31536000, got nan",
        ),
        (
            "batching: {preferred_batch_sizes: 8}",
            "$.batching.preferred_batch_sizes: expected a list, got 8",
        ),
        (
            "batching: {preferred_batch_sizes: [8, 0]}",
            "$.batching.preferred_batch_sizes[1]: expected a whole number >= 1, got 0",
        ),
        (
            "max_batch_size: 32\nbatching: {preferred_batch_sizes: [64]}",
            "$.batching.preferred_batch_sizes[0]: 64 is more than max_batch_size, which is 32",
        ),
        (
            "batching: {pad: {axis: 0}}",
            "$.batching.pad.axis: expected a whole number >= 1, got 0",
        ),
        (
            "batching: {pad: {to_multiple_of: 0}}",
            "$.batching.pad.to_multiple_of: expected a whole number >= 1, got 0",
        ),
        (
            "max_batch_size: -1",
            "$.max_batch_size: expected a whole number from 0 to 2147483647, got -1",
        ),
        (
            "max_batch_size: 99999999999999999999",
            "$.max_batch_size: expected a whole number from 0 to 2147483647, "
            "got 99999999999999999999",
        ),
        (
            "version_policy: newest",
            "$.version_policy: expected a mapping or 'all', got text 'newest'",
        ),
        (
            "version_policy: {latest: 1, specific: [1]}",
            "$.version_policy: expected exactly one of 'latest' and 'specific', got both",
        ),
        (
            "version_policy: {}",
            "$.version_policy: expected exactly one of 'latest' and 'specific', got neither",
        ),
        (
            "version_policy: {latest: 0}",
            "$.version_policy.latest: expected a whole number from 1 to 4294967295, got 0",
        ),
        (
            "version_policy: {specific: []}",
            "$.version_policy.specific: expected at least one version, got an empty list",
        ),
        (
            "version_policy: {specific: [1, x]}",
            "$.version_policy.specific[1]: expected a whole number >= 0, got text 'x'",
        ),
        ("labels: {1: 2}", "$.labels: a name must be text, got 1"),
        ("labels: {on: 2}", "$.labels: a name must be text, got true; put it in quotes"),
        (
            "labels: {'1': 2}",
            "$.labels.1: a label must not be a number: it would hide that version",
        ),
        (
            "labels: {'a/b': 2}",
            "$.labels: a label must be one printable word without '/', got 'a/b'",
        ),
        ("labels: {'': 2}", "$.labels: name: expected text that is not empty, got text ''"),
        ("labels: {stable: -1}", "$.labels.stable: expected a whole number >= 0, got -1"),
        ("runtime: onx", "$.runtime: unknown runtime 'onx', did you mean 'onnx'?"),
        (
            "runtime: r",
            "$.runtime: unknown runtime 'r', expected one of: onnx, python, xgboost, catboost, "
            "sklearn, tensorflow, lightgbm, torch, openvino, huggingface, mlflow",
        ),
        (
            "entry: ../model.onnx",
            "$.entry: expected a path inside the version's folder, got '../model.onnx'",
        ),
        (
            "warmup: [{file: /etc/passwd}]",
            "$.warmup[0].file: expected a path inside the model's folder, got '/etc/passwd'",
        ),
        ("warmup: [{count: 1}]", "$.warmup[0].file: missing, expected text that is not empty"),
        (
            "description: 2024-01-01",
            "$.description: expected text, got a date (2024-01-01); put it in quotes",
        ),
        (
            "signature: {inputs: [{name: a, datatype: FP31, shape: [-1]}]}",
            "$.signature.inputs[0].datatype: unknown datatype 'FP31', did you mean 'FP32'?",
        ),
        (
            "signature: {inputs: [{name: a, datatype: FP32, shape: [-2]}]}",
            "$.signature.inputs[0].shape[0]: expected a whole number >= -1, got -2",
        ),
        (
            "signature: {outputs: [{name: a, datatype: FP32, shape: [-1, 3], labels: [x, z]}]}",
            "$.signature.outputs[0].labels: 2 labels for a last dimension of 3",
        ),
        (
            "signature: {inputs: [{name: a, datatype: BOOL, shape: []}, "
            "{name: a, datatype: BOOL, shape: []}]}",
            "$.signature.inputs[1].name: duplicate name 'a'",
        ),
        ("[1, 2]", "$: expected a mapping, got a list"),
        ("hello", "$: expected a mapping, got text 'hello'"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected_and_what_came(
    text: str, expected: str
) -> None:
    assert refusal(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_batch_size: 1\nmax_batch_size: 2", "2:1: duplicate key 'max_batch_size'"),
        ("labels: {a: 1, a: 2}", "1:16: duplicate key 'a'"),
        ("x: &a [1]\ny: *a", "2:4: aliases (*name) are not supported here; repeat the value"),
        (
            "a: !!python/object:os.system x",
            "1:4: the tag 'tag:yaml.org,2002:python/object:os.system' is not supported here",
        ),
        ("!!map [a]", "1:1: the tag 'tag:yaml.org,2002:map' is not supported here"),
        ("? [a]\n: 1", "1:3: a key must be text"),
        ("[" * 33 + "]" * 33, "1:33: nested deeper than 32"),
        (b"\xff\xfe", "not UTF-8 text (byte 0)"),
        ("x" * (1024 * 1024 + 1), "larger than 1048576 bytes, the limit"),
    ],
)
def test_yaml_that_is_not_safe_is_refused_with_its_place(text: str | bytes, expected: str) -> None:
    assert refusal(text) == expected


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: [1", "2:1: not valid YAML: "),
        ("a:\n\t- b", "2:1: not valid YAML: found character"),
        ("a: b\n---\nb: c", "2:1: not valid YAML: "),
        ("a: \x01", "not valid YAML: "),
        ("max_batch_size: !!int abc", "not valid YAML: invalid literal for int()"),
        ("max_batch_size: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
    ],
)
def test_yaml_syntax_errors_name_line_and_column(text: str, start: str) -> None:
    assert refusal(text).startswith(start)


def test_an_alias_bomb_is_refused_at_its_first_alias() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert refusal("\n".join(lines)).startswith("2:10: aliases")


def test_a_megabyte_of_brackets_does_not_end_the_process() -> None:
    assert refusal("[" * 1_000_000) == "1:33: nested deeper than 32"


def test_a_byte_order_mark_is_no_error() -> None:
    assert parse_manifest(b"\xef\xbb\xbfmax_batch_size: 3", SOURCE).max_batch_size == 3


def test_a_file_is_read_with_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_bytes(b"max_batch_size: 3")
    assert read_manifest(path) == (Manifest(max_batch_size=3), b"max_batch_size: 3")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_manifest(tmp_path, source="m/model.yaml")
    assert caught.value.message == "m/model.yaml: cannot be read: Is a directory"


def test_no_overrides_change_nothing() -> None:
    manifest = parse_manifest(
        b"queue: {max_bytes: 1k}\nbatching: {pad: {axis: 2}}\nwarmup: [{file: a}]", SOURCE
    )
    assert apply_overrides(manifest, {}) == manifest


def test_overrides_merge_into_mappings() -> None:
    manifest = parse_manifest(b"batching: {max_queue_delay_s: 1, pad: {axis: 2}}", SOURCE)
    changed = apply_overrides(
        manifest, {"batching": {"pad": {"to_multiple_of": 8}}, "queue": {"max_bytes": "2k"}}
    )
    assert changed.batching == Batching(max_queue_delay_s=1, pad=Pad(axis=2, to_multiple_of=8))
    assert changed.queue.max_bytes == 2000
    assert apply_overrides(changed, {"batching": {"pad": None}}).batching.pad is None


def test_overrides_replace_policy_labels_and_options() -> None:
    manifest = parse_manifest(
        b"version_policy: {specific: [1]}\nlabels: {a: 1}\nruntime_options: {x: 1}", SOURCE
    )
    changed = apply_overrides(
        manifest,
        {"version_policy": {"latest": 2}, "labels": {"b": 2}, "runtime_options": {"y": 2}},
    )
    assert changed.version_policy == VersionPolicyFields(latest=2)
    assert changed.labels == {"b": 2}
    assert changed.runtime_options == {"y": 2}
    assert apply_overrides(changed, {"version_policy": "all"}).version_policy == "all"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"foo": 1}, "load of 'm': $.foo: unknown field, expected one of: "),
        (
            {"instances": {"count": "x"}},
            "load of 'm': $.instances.count: expected a whole number >= 1, got text 'x'",
        ),
        ({"runtime": "onx"}, "load of 'm': $.runtime: unknown runtime 'onx', did you mean 'onnx'?"),
        ([1], "load of 'm': $: expected a mapping, got a list"),
    ],
)
def test_wrong_overrides_are_refused_in_the_same_words(overrides: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(Manifest(), overrides, "load of 'm'")
    assert caught.value.message.startswith(expected)


def test_yaml_and_watchfiles_are_not_imported_before_they_are_needed() -> None:
    code = (
        "import sys, penstock.repository.filesystem_source;"
        "print([m for m in ('yaml', 'watchfiles', 'anyio') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_users_page_names_every_field() -> None:
    page = Path(__file__).parents[3].joinpath("docs/model-repository.md").read_text()
    for struct, prefix in [
        (Manifest, ""),
        (Batching, "batching."),
        (Pad, "batching.pad."),
        (Queue, "queue."),
        (Instances, "instances."),
        (VersionPolicyFields, "version_policy."),
    ]:
        for field in msgspec.structs.fields(struct):
            assert f"`{prefix}{field.name}`" in page, f"{prefix}{field.name} is not described"
