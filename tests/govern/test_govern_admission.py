"""Who may use the model now, how fast, or how long to wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_agent.config.govern import GovernSection
from edge_agent.domain.level import Level
from edge_agent.govern.admission import LONGEST_GAP_S, Forecasts, Situation, allow
from edge_agent.govern.budget import Bucket
from edge_agent.govern.cost import Forecast
from edge_agent.govern.policy import Cause, Standing

SETTINGS = GovernSection(critical_reserve=0.25)
FULL = Standing()
SHORT = Standing(Level.SHORT, "power: 5 of 72 J in store", Cause.POWER, 0.0)
RULES = Standing(Level.RULES_ONLY, "power: -80 of 72 J in store", Cause.POWER, 0.0)


def situation(
    joules: float, standing: Standing = FULL, base_watts: float = 3.0, cores: float = 2.0
) -> Situation:
    return Situation(standing, Bucket(6.0, 600.0, joules), base_watts, 4.0, cores)


def costs(joules: float, seconds: float, *, own: bool = True) -> Forecast:
    return Forecast(((joules, seconds),), calls=32, own=own)


def known(forecast: Forecast | None) -> Forecasts:
    return lambda _threads: forecast


def test_what_fits_starts_at_once_at_full_speed() -> None:
    word = allow(SETTINGS, situation(60), lambda n: costs(20, 5 / n), critical=False)
    assert (word.level, word.wait_s, word.token_gap_s, word.threads) == (Level.FULL, 0, 0, 2)


def test_what_almost_fits_is_paced() -> None:
    word = allow(SETTINGS, situation(28), known(costs(40, 5)), critical=False)
    assert word.wait_s == 0
    assert 0 < word.token_gap_s <= LONGEST_GAP_S


def test_what_does_not_fit_waits_until_it_does() -> None:
    forecast = known(costs(140, 10))
    word = allow(SETTINGS, situation(10), forecast, critical=False)
    assert 0 < word.wait_s <= 30
    later = allow(SETTINGS, situation(72), forecast, critical=False)
    assert later.wait_s == 0


def test_the_reserve_is_for_critical_faults() -> None:
    forecast = known(costs(10, 2))
    now = situation(15)
    assert allow(SETTINGS, now, forecast, critical=False).wait_s > 0
    assert allow(SETTINGS, now, forecast, critical=True).wait_s == 0
    word = allow(SETTINGS, situation(15, RULES), forecast, critical=True)
    assert word.level is Level.SHORT
    hot = replace(RULES, cause=Cause.HEAT)
    assert not allow(SETTINGS, situation(15, hot), forecast, critical=True).may_use_model


def test_a_job_that_can_never_fit_is_the_rules_and_says_why() -> None:
    word = allow(SETTINGS, situation(72), known(costs(900, 30)), critical=False)
    assert word.level is Level.RULES_ONLY
    assert "power_window_s" in word.reason


def test_one_thread_is_tried_before_giving_up() -> None:
    dear, guess = costs(900, 30), costs(900, 60, own=False)
    word = allow(SETTINGS, situation(72), lambda n: dear if n == 2 else guess, critical=False)
    assert (word.may_use_model, word.threads) == (True, 1)


def test_an_unknown_job_waits_for_a_store_that_can_take_it() -> None:
    assert allow(SETTINGS, situation(10), known(None), critical=False).wait_s > 0
    word = allow(SETTINGS, situation(50), known(None), critical=False)
    assert (word.wait_s, word.threads) == (0, 1)


def test_below_full_the_cheapest_way_wins() -> None:
    ways = {2: costs(9, 1.0), 1: costs(3, 1.5)}
    quick = allow(SETTINGS, situation(60), ways.get, critical=False)
    cheap = allow(SETTINGS, situation(60, SHORT, cores=4.0), ways.get, critical=False)
    assert quick.threads == 2
    assert cheap.threads == 1
    assert cheap.max_tokens < quick.max_tokens


def test_nothing_flows_in_where_others_take_the_budget() -> None:
    word = allow(SETTINGS, situation(72, base_watts=6.0), known(costs(1, 1)), critical=False)
    assert word.level is Level.RULES_ONLY
    assert "others" in word.reason


@pytest.mark.parametrize("cores", [0.1, 0.5, 1.0, 3.7, 16.0])
def test_threads_never_exceed_the_cores_and_are_at_least_one(cores: float) -> None:
    word = allow(SETTINGS, situation(72, cores=cores), known(costs(1, 1)), critical=False)
    assert 1 <= word.threads <= max(1, int(cores))
