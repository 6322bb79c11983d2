"""The ratios that are quoted: pairs of one round, and the best peer of each figure."""

from benchmarks.summary import summarise


def load(req_s: float, p99_ms: float, requests: int = 5000) -> dict:
    return {
        "requests": requests,
        "req_s": req_s,
        "p50_ms": 1.0,
        "p99_ms": p99_ms,
        "p999_ms": 9.0,
        "cpu_s_per_1000": 0.1,
        "non_2xx": 1,
    }


def turn(req_s: float, p99_ms: float, start_s: float = 1.0, requests: int = 5000) -> dict:
    closed = {"json": {"32": load(req_s, p99_ms, requests)}}
    return {"closed": closed, "open": {}, "errors": {}, "start_s": start_s}


def document(**rounds: list[dict]) -> dict:
    return {"arms": {name: {"rounds": found} for name, found in rounds.items()}}


def test_a_ratio_is_of_one_round_and_to_the_best_peer_of_its_figure() -> None:
    found = document(
        penstock=[turn(200, 4.0), turn(400, 6.0)],
        fast=[turn(100, 8.0), turn(400, 8.0)],
        calm=[turn(50, 2.0), turn(50, 2.0)],
    )
    summarise(found)
    at_32 = found["ratios"]["closed"]["json"]["32"]
    assert at_32["req_s"]["best_peer"] == "fast"
    assert (at_32["req_s"]["min"], at_32["req_s"]["max"]) == (1.0, 2.0)
    assert at_32["p99_ms"]["best_peer"] == "calm"
    assert at_32["p99_ms"]["median"] == 2.5


def test_who_refuses_is_no_peer() -> None:
    refusing = turn(100, 0.1)
    refusing["closed"]["json"]["32"]["non_2xx"] = 4000
    found = document(penstock=[turn(200, 4.0)], quick=[refusing], slow=[turn(100, 8.0)])
    summarise(found)
    assert found["ratios"]["closed"]["json"]["32"]["p99_ms"]["best_peer"] == "slow"


def test_floor_and_echo_are_no_peers_but_have_ratios_of_their_own() -> None:
    found = document(
        floor=[{"items_s": {"batch 1": 500.0, "batch 32": 1000.0}}],
        echo=[turn(800, 1.0)],
        penstock=[turn(200, 4.0, start_s=0.5)],
        slow=[turn(100, 8.0, start_s=2.0)],
    )
    summarise(found)
    at_32 = found["ratios"]["closed"]["json"]["32"]
    assert at_32["req_s"]["best_peer"] == "slow"
    assert at_32["req_s_of_echo"]["median"] == 0.25
    assert found["ratios"]["server"]["start_s"]["median"] == 0.25
    assert found["arms"]["penstock"]["summary"]["share_of_floor"]["json"]["median"] == 0.2


def test_a_round_in_which_a_load_failed_makes_no_ratio() -> None:
    broken = {"closed": {}, "open": {}, "errors": {"closed json 32": "refused"}}
    found = document(penstock=[turn(200, 4.0), turn(300, 4.0)], peer=[broken, turn(100, 8.0)])
    summarise(found)
    at_32 = found["ratios"]["closed"]["json"]["32"]
    assert at_32["req_s"]["rounds"] == 1
    assert at_32["req_s"]["median"] == 3.0


def test_failures_are_summed_and_few_requests_make_no_tail() -> None:
    found = document(penstock=[turn(200, 4.0), turn(200, 4.0, requests=999)])
    summarise(found)
    at_32 = found["arms"]["penstock"]["summary"]["closed"]["json"]["32"]
    assert at_32["non_2xx"] == 2
    assert "p999_ms" not in at_32
    assert "p99_ms" in at_32


def test_in_the_best_encoding_each_arm_takes_its_own() -> None:
    ours = turn(200, 4.0)
    ours["closed"]["binary"] = {"32": load(600, 2.0)}
    ours["closed"]["grpc"] = {"1x32": load(9000, 2.0)}
    found = document(penstock=[ours], peer=[turn(300, 8.0)])
    summarise(found)
    closed = found["ratios"]["closed"]
    assert closed["json"]["32"]["req_s"]["median"] == 200 / 300
    assert closed["binary"]["32"] == {}
    assert closed["in the best encoding"]["32"]["req_s"]["median"] == 2.0
    assert list(closed["in the best encoding"]) == ["32"]
