"""Pages of several processes become one."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from penstock.telemetry.families import Family, MetricSample, merge_families
from penstock.telemetry.metric_specs import MERGE_RULES, METRICS
from penstock.telemetry.metrics import render_families
from tests.unit.telemetry.test_metrics import page

LABELS = st.sampled_from([(("model", "a"),), (("model", "b"),), ()])
SAMPLES = st.lists(
    st.builds(MetricSample, st.sampled_from(["n_total", "n_bucket"]), LABELS, st.integers(0, 9)),
    unique_by=lambda one: (one.name, one.labels),
)
PAGES = st.lists(SAMPLES.map(lambda found: [Family("n", "counter", "", tuple(found))]), max_size=4)


def family(*values: tuple[str, float], name: str = "penstock_model_state") -> list[Family]:
    samples = tuple(MetricSample(name, (("state", state),), value) for state, value in values)
    return [Family(name, "gauge", "what", samples)]


def numbers(families: list[Family]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(s.name, s.labels): s.value for one in families for s in one.samples}


@given(PAGES)
def test_a_sum_is_the_sum_of_all_pages_in_any_order(pages: list[list[Family]]) -> None:
    merged = numbers(merge_families(pages, {}))
    assert merged == numbers(merge_families(pages[::-1], {}))
    for key, value in merged.items():
        assert value == sum(numbers(page).get(key, 0) for page in pages)


def test_one_page_stays_as_it_is() -> None:
    families = page().families()
    assert merge_families([families], MERGE_RULES) == families
    alone, _ = page().render()
    merged, _ = render_families(merge_families([families], MERGE_RULES))
    heads = [line for line in alone.decode().splitlines() if line.startswith("#")]
    assert sorted(heads) == sorted(
        line for line in merged.decode().splitlines() if line.startswith("#")
    )


def test_two_pages_are_read_by_prometheus() -> None:
    families = page().families()
    text, _ = render_families(merge_families([families, families], MERGE_RULES))
    seen = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for one in text_string_to_metric_families(text.decode())
        for sample in one.samples
    }
    m = (("model", "m"), ("version", "3"))
    assert seen["penstock_rows_total", m] == 8
    assert seen["penstock_request_duration_seconds_count", m] == 2
    assert seen["penstock_request_duration_seconds_bucket", (("le", "+Inf"), *m)] == 2
    assert seen["penstock_queue_requests", m] == 4
    assert seen["penstock_model_inline", m] == 1
    assert seen["penstock_model_load_seconds", m] == 1.5
    assert seen["penstock_memory_held_bytes", ()] == 1400
    assert seen["penstock_processes", ()] == 2
    ready = (("model", "m"), ("state", "ready"), ("version", "3"))
    assert seen["penstock_model_state", ready] == 1


def test_a_model_is_ready_where_it_is_so_in_all() -> None:
    both = merge_families([family(("ready", 1)), family(("ready", 1))], MERGE_RULES)
    assert numbers(both) == numbers(family(("ready", 1)))
    one = merge_families([family(("ready", 1)), family(("loading", 1))], MERGE_RULES)
    assert numbers(one) == numbers(family(("ready", 0), ("loading", 1)))


def test_what_is_the_same_in_all_is_not_added_up() -> None:
    info = Family("python_info", "gauge", "", (MetricSample("python_info", (), 1),))
    start = [
        Family("process_start_time_seconds", "gauge", "", (MetricSample("s", (), at),))
        for at in (20.0, 10.0)
    ]
    merged = merge_families([[info, start[0]], [info, start[1]]], MERGE_RULES)
    assert [one.samples[0].value for one in merged] == [1, 10]


def test_every_rule_is_a_metrics() -> None:
    names = {spec.name.removesuffix("_total") for spec in METRICS}
    assert set(MERGE_RULES) <= names
