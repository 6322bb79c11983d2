"""Hold the limits of size and habit that no linter knows; prints each breach, exits with 1.

Files of at most 400 lines (tests 500), functions of at most 60, at most 7 parameters; no file
called utils, helpers, common, misc or base; ``except Exception`` at named boundaries only; no
sleeping in unit and property tests; no state in modules. An exception is a line in a table below
and says why. A limit is raised here or nowhere.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "apps", "tests", "tools", "benchmarks", "examples", "models")
GENERATED = "/open_inference/proto/"

MAX_FILE_LINES = 400
MAX_TEST_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7
FORBIDDEN_NAMES = frozenset({"utils", "util", "helpers", "common", "misc", "base"})

WIDE: Mapping[str, str] = {
    "src/penstock/app/cli/serve.py:serve_command": "one parameter for each flag",
    "src/penstock/server/grpc_http2/callbacks.py:on_header": "as libnghttp2 calls it",
    "src/penstock/app/cli/predict.py:predict": "one parameter for each flag",
    "src/penstock/app/cli/pack.py:pack_command": "one parameter for each flag",
    "src/penstock/app/cli/route.py:set_route": "one parameter for each flag",
    "src/penstock/app/cli/rollout_run.py:run_rollout": "one parameter for each flag",
}
"""Functions with more parameters, and why."""

BROAD: Mapping[str, tuple[int, str]] = {
    "src/penstock/server/http.py": (3, "the edge: a bug of ours is a 500, and logged"),
    "src/penstock/server/grpc_api/servicer.py": (2, "the edge: a bug of ours is INTERNAL"),
    "src/penstock/server/grpc_http2/server.py": (2, "the edge: a bug of ours is INTERNAL"),
    "src/penstock/lifecycle/reconciler.py": (2, "a bug of ours must not end the following"),
    "src/penstock/router/compare.py": (1, "a user's own module may raise anything"),
    "src/penstock/router/shadow.py": (1, "a bug of ours must not fail the request that is copied"),
    "src/penstock/router/shadow_worker.py": (2, "whatever a version or a comparison raises"),
    "src/penstock/router/variant_recorder.py": (2, "a model may put anything into its answers"),
    "src/penstock/rollout/controller.py": (1, "a bug of ours must not end the deciding"),
    "src/penstock/rollout/outside/sources.py": (2, "a bug of ours must not end the asking"),
    "src/penstock/rollout/reporter.py": (1, "a bug of ours must not end the reports"),
    "src/penstock/runtime/huggingface/pretrained.py": (
        2,
        "transformers' exceptions are of no known class",
    ),
    "src/penstock/runtime/mlflow/pyfunc_model.py": (2, "a model's own code raises what it likes"),
    "apps/tweet_sentiment/refresh.py": (1, "a job's end is told, whatever it was"),
    "apps/tweet_sentiment/http_frame.py": (1, "the edge: a bug of ours is a 500, and logged"),
    "src/penstock/runtime/onnx_runtime.py": (1, "the engine's exceptions are of no known class"),
    "src/penstock/runtime/torch_runtime.py": (1, "devices, compilers and classes raise anything"),
    "src/penstock/runtime/pytorch/user_class.py": (1, "a user's code raises what it likes"),
    "src/penstock/runtime/pytorch/program.py": (2, "the engine's exceptions are of no known class"),
    "src/penstock/runtime/pytorch/script.py": (1, "the engine's exceptions are of no known class"),
    "src/penstock/runtime/pytorch/signature.py": (1, "a user's code raises what it likes"),
    "src/penstock/runtime/pytorch/weights.py": (2, "the engine's exceptions are of no known class"),
    "src/penstock/runtime/python_file.py": (1, "a user's code raises what it likes"),
    "src/penstock/runtime/openvino_runtime.py": (1, "the engine's exceptions are no known class"),
    "src/penstock/runtime/keras_file.py": (1, "the engine's exceptions are of no known class"),
    "src/penstock/runtime/saved_model.py": (1, "the engine's exceptions are of no known class"),
    "src/penstock/runtime/sklearn_file.py": (2, "a model's file raises what it likes"),
    "src/penstock/runtime/sklearn_runtime.py": (1, "an estimator raises what it likes"),
    "src/penstock/runtime/python_runtime.py": (1, "a user's code raises what it likes"),
    "src/penstock/runtime/broker/shared_worker.py": (1, "those who wait for a worker have to know"),
    "src/penstock/runtime/process/process_instance.py": (1, "closes what it opened"),
    "src/penstock/runtime/process/worker_keeper.py": (1, "a copy has to come back"),
    "src/penstock/runtime/process/channel.py": (1, "a worker may send anything"),
    "src/penstock/runtime/process/worker_logs.py": (1, "as every handler of the library does"),
    "src/penstock/runtime/process/shared_memory.py": (1, "closes what it opened"),
    "src/penstock/runtime/process/start.py": (1, "closes what it opened, whatever went wrong"),
    "src/penstock/runtime/process/worker.py": (2, "a user's code raises what it likes"),
    "src/penstock/runtime/process/worker_link.py": (2, "a worker waits for some answer"),
    "src/penstock/jobs/stream/decode.py": (1, "a user's code raises what it likes"),
    "src/penstock/jobs/stream/encode.py": (1, "a user's code raises what it likes"),
    "src/penstock/app/copies.py": (1, "closes what it opened, whatever went wrong"),
    "src/penstock/runtime/instance.py": (1, "a user's code raises what it likes"),
    "src/penstock/scheduler/outcomes.py": (2, "what breaks fails one batch, and no instance"),
    "src/penstock/scheduler/scheduler.py": (2, "what breaks fails one batch, and no instance"),
    "src/penstock/core/daemon_thread.py": (2, "raises it where it is waited for, else logs it"),
    "src/penstock/app/warm_copies.py": (2, "closes what it opened, whatever went wrong"),
    "src/penstock/repository/remote/bounded_call.py": (1, "raises it where it is waited for"),
    "src/penstock/repository/remote/remote_fault.py": (1, "a store's client raises what it likes"),
    "src/penstock/stores/guard.py": (1, "a store's library raises what it likes"),
    "src/penstock/app/cached_loader.py": (1, "gives back what it took, whatever went wrong"),
    "src/penstock/app/packaged_loader.py": (1, "gives back what it took, whatever went wrong"),
    "src/penstock/stores/experiment_log_buffer.py": (2, "what cannot be written stops nobody"),
    "src/penstock/stores/grouped_reads.py": (1, "hands the turn on, whatever went wrong"),
    "src/penstock/stores/single_flight.py": (1, "lands its flights, whatever went wrong"),
    "src/penstock/stores/sqlite_statements.py": (1, "closes what it opened, whatever went wrong"),
    "src/penstock/lifecycle/harness.py": (4, "loaders and observers are foreign code"),
    "src/penstock/jobs/batch/pipeline.py": (2, "what breaks a job is told, with the split's name"),
    "src/penstock/jobs/batch/look_process.py": (1, "a bug of ours is told by the runner"),
    "src/penstock/jobs/batch/worker_process.py": (1, "a bug of ours is told by the runner"),
    "src/penstock/jobs/stream/kafka_thread.py": (1, "raises it where it is waited for"),
    "src/penstock/jobs/batch/databases/bounded_calls.py": (1, "raises it where it is waited for"),
    "src/penstock/jobs/batch/sources/store_files.py": (1, "a store's client raises what it likes"),
    "src/penstock/jobs/batch/sinks/object_folder.py": (1, "a store's client raises what it likes"),
    "src/penstock/jobs/batch/applied_function.py": (1, "a user's code raises what it likes"),
    "src/penstock/jobs/batch/user_function.py": (1, "a user's code raises what it likes"),
    "src/penstock/app/jobs/served/job_run.py": (1, "a bug of ours fails one job, and is logged"),
    "src/penstock/app/jobs/served/job_runner.py": (1, "a bug of ours must not end the running"),
    "src/penstock/app/cli/input_file.py": (1, "a file reader's exceptions are of no known class"),
}
"""Files that may catch everything: how often, and why."""

_MUTATORS = frozenset(
    ("append", "add", "update", "setdefault", "pop", "popitem", "clear", "extend", "insert")
)


class Breach(NamedTuple):
    """A limit that is crossed, and where."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        """``file:line: text``, as editors read it."""
        return f"{self.path}:{self.line}: {self.text}"


def check_file(path: str, text: str) -> Iterator[Breach]:
    """Every breach in one Python file.

    Args:
        path: relative to the repository root, with ``/``; decides which limits hold.
        text: its content.
    """
    is_test = path.startswith("tests/")
    limit = MAX_TEST_FILE_LINES if is_test else MAX_FILE_LINES
    if (lines := len(text.splitlines())) > limit:
        yield Breach(path, limit + 1, f"{lines} lines, at most {limit}: split the file")
    if Path(path).stem in FORBIDDEN_NAMES:
        yield Breach(path, 1, f"'{Path(path).stem}' says nothing: name the file after what it is")
    if re.match(r"tests/(unit|property)/", path):
        yield from _sleeps(path, text)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _function(path, node, is_test)
    if path.startswith("src/"):
        yield from _broad_excepts(path, tree)
        yield from _module_state(path, tree)


def _function(
    path: str, node: ast.FunctionDef | ast.AsyncFunctionDef, is_test: bool
) -> Iterator[Breach]:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > MAX_FUNCTION_LINES:
        text = f"{node.name} has {lines} lines, at most {MAX_FUNCTION_LINES}"
        yield Breach(path, node.lineno, text)
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    count = sum(argument.arg not in ("self", "cls") for argument in arguments)
    if count > MAX_PARAMETERS and not is_test and f"{path}:{node.name}" not in WIDE:
        text = f"{node.name} takes {count} parameters, at most {MAX_PARAMETERS}: give it a value"
        yield Breach(path, node.lineno, text)


def _broad_excepts(path: str, tree: ast.Module) -> Iterator[Breach]:
    allowed, _ = BROAD.get(path, (0, ""))
    broad = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and _all(node)]
    if len(broad) < allowed:
        yield Breach(path, 1, f"{allowed} broad handlers allowed, {len(broad)} there: lower BROAD")
    for node in sorted(broad, key=lambda handler: handler.lineno)[allowed:]:
        yield Breach(path, node.lineno, f"catches everything; {allowed} such handlers allowed here")


def _all(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException"))
        for kind in kinds
    )


def _sleeps(path: str, text: str) -> Iterator[Breach]:
    for number, line in enumerate(text.splitlines(), 1):
        if "time.sleep(" in line:
            yield Breach(path, number, "sleeps: step the clock, or wait for an event")


def _module_state(path: str, tree: ast.Module) -> Iterator[Breach]:
    mutable: set[str] = set()
    for node in tree.body:
        for name in _mutable_names(node):
            mutable.add(name)
            if not name.startswith("__") and name != name.upper():
                text = f"module-level '{name}' is mutable: make it a constant, or an attribute"
                yield Breach(path, node.lineno, text)
    for inner in ast.walk(tree):
        if isinstance(inner, ast.Global):
            yield Breach(path, inner.lineno, f"global {', '.join(inner.names)}: pass it instead")
        changed = _changed(inner)
        if changed in mutable:
            yield Breach(path, getattr(inner, "lineno", 1), f"changes the module's '{changed}'")


def _mutable_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets, value = [node.target], node.value
    else:
        return []
    literals = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    made = isinstance(value, ast.Call) and isinstance(value.func, ast.Name)
    made = made and ast.unparse(value).split("(")[0] in ("list", "dict", "set", "defaultdict")
    if not (isinstance(value, literals) or made):
        return []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _changed(node: ast.AST) -> str | None:
    """The name whose value this node changes in place; None: it changes nothing."""
    place: ast.AST | None = None
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        place = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        place = node.func.value if node.func.attr in _MUTATORS else None
    return place.id if isinstance(place, ast.Name) else None


def main() -> int:
    """Check the repository; returns the exit status."""
    breaches: list[Breach] = []
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if GENERATED not in path:
                breaches += check_file(path, file.read_text())
    for breach in breaches:
        print(breach)
    print(f"sizes: {len(breaches)} breaches" if breaches else "sizes: ok")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
