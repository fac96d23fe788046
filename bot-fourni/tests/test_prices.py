import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paper.prices import DAY_S, GeneratedPrices
from paper.symbols import SYMBOLS

NOW_S = 1_790_000_000

GOLDEN_EURUSD = [1.10282, 1.08231, 1.10315]
GOLDEN_USDJPY = [148.388, 148.83, 147.946]


def generated(seed: int = 1, *, weekdays_only: bool = False, speed: float = 1.0) -> GeneratedPrices:
    return GeneratedPrices(seed, tuple(SYMBOLS.values()), NOW_S, speed, weekdays_only=weekdays_only)


def seconds(*values: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array(values, dtype=np.int64)


def test_prices_are_the_same_everywhere_and_for_ever() -> None:
    """Figures written down once: another numpy or machine must give them too."""
    bids = generated(42).bids("EURUSD", seconds(0, 1_700_000_000, NOW_S))
    assert bids.tolist() == GOLDEN_EURUSD
    bids = generated(42).bids("USDJPY", seconds(0, 1_700_000_000, NOW_S))
    assert bids.tolist() == GOLDEN_USDJPY


@given(st.integers(0, 2**53 - 1), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_a_price_does_not_depend_on_what_else_was_asked(seed: int, second: int) -> None:
    alone = generated(seed).bids("EURUSD", seconds(second))
    among = generated(seed).bids("EURUSD", np.arange(second - 5000, second + 1, dtype=np.int64))
    assert alone[0] == among[-1]


def test_seed_and_symbol_make_different_markets() -> None:
    times = np.arange(NOW_S, NOW_S + 1000, dtype=np.int64)
    one, other = generated(1).bids("EURUSD", times), generated(2).bids("EURUSD", times)
    assert not np.array_equal(one, other)
    gold = generated(1).bids("XAUUSD", times)
    assert abs(np.corrcoef(one, gold)[0, 1]) < 0.999


@given(
    st.sampled_from(sorted(SYMBOLS)),
    st.sampled_from([60, 300, 3600, DAY_S]),
    st.integers(1_000_000_000, 2_000_000_000),
)
@settings(max_examples=40, deadline=None)
def test_bars_are_whole(symbol: str, length_s: int, now_s: int) -> None:
    prices = generated()
    bars = prices.bars(symbol, length_s, 0, now_s, 20)
    assert bars.size == 20
    assert (bars["time"] % length_s == 0).all()
    assert (np.diff(bars["time"]) == length_s).all()
    assert bars["time"][-1] <= now_s < bars["time"][-1] + length_s
    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
    assert bars["open"][0] == prices.bids(symbol, bars["time"][:1])[0]
    # A bar closes at its last quote, one that is still forming at the present quote.
    ends = np.minimum(bars["time"] + length_s - 1, now_s)
    assert np.array_equal(bars["close"], prices.bids(symbol, ends))


def test_a_closed_bar_never_changes() -> None:
    before = generated().bars("EURUSD", 60, 0, NOW_S, 50)[:-1]
    after = generated().bars("EURUSD", 60, 0, NOW_S + 600, 60)
    common = after[np.isin(after["time"], before["time"])]
    assert np.array_equal(before, common)


def test_prices_are_rounded_to_the_symbol_s_digits() -> None:
    for name, terms in SYMBOLS.items():
        for bid in generated().bids(name, np.arange(NOW_S, NOW_S + 50, dtype=np.int64)).tolist():
            assert bid == round(bid, terms.digits)
            assert bid > 0


def test_weekends_have_no_bars_and_no_quotes() -> None:
    prices = generated(weekdays_only=True)
    saturday_noon = 1_700_308_800 + DAY_S // 2 - 1_700_308_800 % DAY_S
    friday_end = saturday_noon // DAY_S * DAY_S - 1
    assert prices.last_quote_s("EURUSD", saturday_noon) == friday_end
    assert prices.last_quote_s("EURUSD", friday_end) == friday_end
    assert prices.last_quote_s("EURUSD", saturday_noon + DAY_S) == friday_end
    bars = prices.bars("EURUSD", 3600, 0, saturday_noon + 3 * DAY_S, 200)
    assert bars.size == 200
    weekday = (bars["time"] // DAY_S + 3) % 7
    assert weekday.max() == 4


@pytest.mark.parametrize("count", [1, 7, 100])
def test_bars_begin_no_earlier_than_asked(count: int) -> None:
    bars = generated().bars("EURUSD", 60, NOW_S - 600, NOW_S, count)
    assert bars.size == min(count, 10)
    assert bars["time"][0] >= NOW_S - 600
    assert generated().bars("EURUSD", 60, NOW_S + 600, NOW_S, count).size == 0


def test_the_simulated_clock_runs_at_its_speed() -> None:
    assert generated(speed=60).time_ms(2.5) == (NOW_S + 150) * 1000
