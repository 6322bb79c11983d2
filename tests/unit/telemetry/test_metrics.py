"""The metrics page, read as Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families

from penstock.core.ids import ServableId
from penstock.core.status import VersionState, VersionStatus
from penstock.telemetry.metric_specs import METRICS
from penstock.telemetry.metrics import MetricsPage
from penstock.telemetry.rollout_stats import RolloutStats
from penstock.telemetry.stats import EdgeStats, MemoryNumbers, ModelStats
from penstock.telemetry.store_stats import StoreStats


def page() -> MetricsPage:
    stats, odd = ModelStats("m", 3), ModelStats('odd "name"\n', 1)
    stats.executed(4, 1_000, 2_000_000, 1_000)
    stats.answered(4, 3_000_000, 1_000_000)
    stats.failed("overloaded", 5)
    stats.cache_missed(10_000)
    stats.queue_requests, stats.queue_bytes, stats.instances, stats.busy = 2, 64, 3, 1
    stats.inline, stats.load_s = True, 1.5
    edge = EdgeStats()
    edge.reject("grpc", "not_found")
    edge.tell_store(False)
    store = StoreStats("predictions")
    store.lookups["hit"], store.written, store.pending_items, store.pending_bytes = 7, 3, 2, 99
    store.failed("read", "timeout")
    store.drop("queue_full", 4)
    store.is_open["write"] = True
    store.read_ns.observe(300_000)
    edge.stores.append(store)
    edge.memory = lambda: MemoryNumbers(700, 1000, 5, 2)
    variant = edge.routes.variant("m", 3, "canary")
    variant.requests, variant.fallbacks = 8, 2
    edge.routes.count_unkeyed("m")
    edge.rollouts = rollouts()
    statuses = [VersionStatus(ServableId("m", 3), VersionState.READY)]
    return MetricsPage(lambda: [stats, odd], lambda: statuses, edge)


def rollouts() -> RolloutStats:
    stats = RolloutStats()
    stats.phases["m"], stats.weights["m"] = "canary", 5.0
    stats.rolled_back("m")
    stats.decided("m", "canary")
    stats.took_effect("m", 120_000_000)
    stats.dropped("m", 2)
    stats.stalled["m"] = "a reason"
    stats.disagreement["m"], stats.sample_ratio["m"] = 0.02, 0.5
    return stats


def samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = page().render()[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_page_holds_every_metric() -> None:
    body, content_type = page().render()
    assert content_type.startswith("text/plain")
    families = {f.name: f for f in text_string_to_metric_families(body.decode())}
    for spec in METRICS:
        family = families[spec.name.removesuffix("_total")]
        assert family.type == spec.kind
        assert family.documentation == spec.meaning
        assert family.samples, spec.name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(spec.labels)
    assert "process_cpu_seconds" in families or "python_info" in families


def test_the_numbers() -> None:
    seen = samples()
    m = (("model", "m"), ("version", "3"))

    def of(name: str, **labels: str) -> float:
        return seen[name, tuple(sorted((*m, *labels.items())))]

    assert of("penstock_requests_total", outcome="ok") == 1
    assert of("penstock_requests_total", outcome="overloaded") == 1
    assert of("penstock_rows_total") == 4
    assert of("penstock_queue_requests") == 2
    assert of("penstock_queue_bytes") == 64
    assert of("penstock_instances") == 3
    assert of("penstock_instances_busy") == 1
    assert of("penstock_model_inline") == 1
    assert of("penstock_model_load_seconds") == 1.5
    assert of("penstock_model_state", state="ready") == 1
    assert of("penstock_request_duration_seconds_sum") == 0.003
    assert of("penstock_request_duration_seconds_count") == 1
    assert of("penstock_request_duration_seconds_bucket", le="0.0025") == 0
    assert of("penstock_request_duration_seconds_bucket", le="0.005") == 1
    assert of("penstock_request_duration_seconds_bucket", le="+Inf") == 1
    assert of("penstock_batch_size_rows_bucket", le="2.0") == 0
    assert of("penstock_batch_size_rows_bucket", le="4.0") == 1
    rejected = ("penstock_rejected_requests_total", (("code", "not_found"), ("protocol", "grpc")))
    assert seen[rejected] == 1


def test_the_numbers_of_a_store() -> None:
    seen = samples()

    def of(name: str, **labels: str) -> float:
        return seen[name, tuple(sorted((("store", "predictions"), *labels.items())))]

    assert of("penstock_store_lookups_total", outcome="hit") == 7
    assert of("penstock_store_lookups_total", outcome="miss") == 0
    assert of("penstock_store_errors_total", operation="read", fault="timeout") == 1
    assert of("penstock_store_written_total") == 3
    assert of("penstock_store_dropped_total", reason="queue_full") == 4
    assert of("penstock_store_pending_items") == 2
    assert of("penstock_store_pending_bytes") == 99
    assert of("penstock_store_breaker_open", operation="write") == 1
    assert of("penstock_store_breaker_open", operation="read") == 0
    assert of("penstock_store_read_duration_seconds_count") == 1
    assert of("penstock_store_read_duration_seconds_bucket", le="0.0005") == 1
    cache = "penstock_response_cache_requests_total"
    m = (("model", "m"), ("version", "3"))
    assert seen[cache, tuple(sorted((*m, ("outcome", "miss"))))] == 1
    assert seen[cache, tuple(sorted((*m, ("outcome", "hit"))))] == 0


def test_names_are_escaped() -> None:
    assert samples()["penstock_rows_total", (("model", 'odd "name"\n'), ("version", "1"))] == 0


def test_names_hold_their_unit() -> None:
    for spec in METRICS:
        assert spec.name.startswith("penstock_")
        assert spec.name.endswith("_total") == (spec.kind == "counter")
        assert bool(spec.bounds) == (spec.kind == "histogram")
    assert len({spec.name for spec in METRICS}) == len(METRICS)


def test_a_control_store_that_does_not_answer() -> None:
    assert samples()["penstock_control_store_up", ()] == 0
    text = MetricsPage(list, list, EdgeStats()).render()[0].decode()
    assert "\npenstock_control_store_up" not in text, "there is none"


def test_rollouts() -> None:
    found = samples()
    model = (("model", "m"),)
    assert found["penstock_rollout_phase", (*model, ("phase", "canary"))] == 1
    assert found["penstock_rollout_weight_ratio", model] == 0.05
    assert found["penstock_rollout_rollbacks_total", model] == 1
    assert found["penstock_rollout_decisions_total", (*model, ("phase", "canary"))] == 1
    assert found["penstock_rollout_effect_duration_seconds_sum", model] == 0.12
    assert found["penstock_rollout_undelivered_events_total", model] == 2
    assert found["penstock_rollout_stalled", model] == 1
    assert found["penstock_shadow_disagreement_ratio", model] == 0.02
    assert found["penstock_rollout_sample_ratio_p_value", model] == 0.5


def test_a_process_that_decides_for_a_model_no_longer_tells_no_more_of_it() -> None:
    stats = rollouts()
    stats.forget_counts("m")
    assert (stats.disagreement, stats.sample_ratio) == ({}, {})
    assert stats.phases == {"m": "canary"}
