import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import risk
import strategy
from parameters import StrategyParameters
from strategy import Bars, FloatArray, Signal

PARAMETERS = StrategyParameters(fast_period=2, slow_period=4, atr_period=3)
TERMS = risk.ContractTerms(5, 1e-5, 1e-5, 1.0, 1e-4, 0.01, 100.0, 0.01)


def bars(*closes: float, spread: float = 0.5) -> Bars:
    close = np.array(closes, dtype=np.float64)
    times = np.arange(close.size, dtype=np.int64) * 60
    return Bars(times, close + spread, close - spread, close)


def test_a_cross_upwards_buys_and_one_downwards_sells() -> None:
    up = strategy.signal(bars(10, 9, 8, 7, 12), PARAMETERS)
    assert up is not None
    assert up.side == "buy"
    down = strategy.signal(bars(10, 11, 12, 13, 8), PARAMETERS)
    assert down is not None
    assert down.side == "sell"


def test_without_a_cross_there_is_no_signal() -> None:
    assert strategy.signal(bars(1, 2, 3, 4, 5, 6), PARAMETERS) is None
    assert strategy.signal(bars(5, 5, 5, 5, 5, 5), PARAMETERS) is None


def test_only_the_last_closed_bar_counts() -> None:
    assert strategy.signal(bars(10, 9, 8, 7, 12, 13), PARAMETERS) is None


def test_too_few_bars_give_no_signal() -> None:
    assert strategy.bars_needed(PARAMETERS) == 5
    assert strategy.signal(bars(9, 8, 7, 12), PARAMETERS) is None


def test_the_true_range_includes_the_gap() -> None:
    # Ranges: 1 within each bar, but 6.5 from the close at 1 to the high of the last at 7.5.
    assert strategy.average_true_range(bars(1, 1, 1, 7), 3) == pytest.approx((1 + 1 + 6.5) / 3)


@pytest.mark.parametrize("period", [0, 5])
def test_periods_are_checked(period: int) -> None:
    with pytest.raises(ValueError, match="period"):
        strategy.moving_average(np.ones(4), period)
    with pytest.raises(ValueError, match="period"):
        strategy.average_true_range(bars(1, 1, 1, 1), period)


@given(hnp.arrays(np.float64, st.integers(5, 60), elements=st.floats(0.5, 2)))
def test_the_strategy_is_symmetric(closes: FloatArray) -> None:
    """A market upside down gives the opposite signal."""
    one = strategy.signal(bars(*closes), PARAMETERS)
    other = strategy.signal(bars(*(4 - closes)), PARAMETERS)
    if one is not None and other is not None:
        assert {one.side, other.side} == {"buy", "sell"}
        assert one.atr == pytest.approx(other.atr)


def test_levels() -> None:
    long = risk.levels(Signal("buy", 0.001), 1.1, TERMS, StrategyParameters())
    assert long == (1.098, 1.103)
    short = risk.levels(Signal("sell", 0.001), 1.1, TERMS, StrategyParameters(target_atr=0))
    assert short == (1.102, 0.0)


def test_levels_keep_the_broker_s_distance() -> None:
    near = risk.levels(Signal("buy", 0.000001), 1.1, TERMS, StrategyParameters())
    assert near == (1.09989, 1.10011)


@given(
    st.floats(1, 1e7), st.floats(1e-5, 0.5), st.floats(0.01, 5), st.sampled_from([0.01, 0.1, 1.0])
)
def test_the_volume_never_risks_more_than_asked(
    equity: float, distance: float, percent: float, step: float
) -> None:
    terms = TERMS._replace(volume_min=step, volume_step=step)
    parameters = StrategyParameters(risk_percent=percent, max_volume=1000)
    lots = risk.volume(equity, distance, terms, parameters)
    loss = lots * distance / terms.tick_size * terms.tick_value
    assert loss <= equity * percent / 100 * (1 + 1e-6)
    assert lots == 0 or terms.volume_min <= lots <= terms.volume_max
    assert lots == pytest.approx(round(lots / step) * step)


def test_the_volume_is_capped_and_may_be_nothing() -> None:
    assert risk.volume(1e6, 0.001, TERMS, StrategyParameters()) == 1.0
    assert risk.volume(10, 0.1, TERMS, StrategyParameters()) == 0.0
    assert risk.volume(1000, 0.0, TERMS, StrategyParameters()) == 0.0
    assert risk.volume(-5, 0.1, TERMS, StrategyParameters()) == 0.0
    tenths = TERMS._replace(volume_step=0.1, volume_min=0.1)
    assert risk.volume(6000, 0.001, tenths, StrategyParameters()) == 0.3
