from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paper.csv_prices import CsvFault, CsvPrices
from paper.market import Market
from paper.symbols import SYMBOLS
from paper_setup import SAMPLES_DIR

HEADER = ",Open,High,Low,Close,Volume"
ROWS = [
    "2024-01-05 20:00:00,1.1000,1.1020,1.0990,1.1010,10",
    "2024-01-05 21:00:00,1.1010,1.1015,1.0980,1.0985,10",
    # a weekend
    "2024-01-08 00:00:00,1.0985,1.1000,1.0970,1.0990,10",
    "2024-01-08 01:00:00,1.0990,1.1040,1.0985,1.1030,10",
    "2024-01-08 02:00:00,1.1030,1.1035,1.1000,1.1005,10",
    "2024-01-08 03:00:00,1.1005,1.1010,1.0995,1.1000,10",
]
MONDAY_S = 1_704_672_000

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*lines: str) -> str:
        path = tmp_path / "prices.csv"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    return write


def prices(path: str, speed: float = 1.0) -> CsvPrices:
    return CsvPrices(path, SYMBOLS["EURUSD"], speed)


def test_the_clock_jumps_over_a_gap(write: Write) -> None:
    source = prices(write(HEADER, *ROWS), speed=3600)
    # It starts in the middle of the file: three bars are history.
    assert source.time_ms(0) == (MONDAY_S + 3600) * 1000
    assert source.time_ms(1.5) == (MONDAY_S + 2 * 3600 + 1800) * 1000
    early = prices(write(HEADER, *ROWS[:4]), speed=3600)
    assert early.time_ms(0) == MONDAY_S * 1000


def test_a_quote_walks_from_open_over_both_extremes_to_close(write: Write) -> None:
    source = prices(write(HEADER, *ROWS))
    rising = source.bids("EURUSD", MONDAY_S + 3600 + np.arange(3600))
    assert rising[0] == 1.0990
    assert rising[-1] == 1.1030
    assert rising.min() == 1.0985
    assert rising.max() == 1.1040
    assert rising.argmin() < rising.argmax()
    falling = source.bids("EURUSD", MONDAY_S + 7200 + np.arange(3600))
    assert falling.argmax() < falling.argmin()


def test_bars_are_those_of_the_file_as_far_as_they_have_happened(write: Write) -> None:
    source = prices(write(HEADER, *ROWS))
    bars = source.bars("EURUSD", 3600, 0, MONDAY_S + 2 * 3600, 10)
    assert bars["close"].tolist()[:4] == [1.1010, 1.0985, 1.0990, 1.1030]
    assert bars.size == 5
    forming = bars[-1]
    assert forming["open"] == forming["high"] == forming["low"] == forming["close"] == 1.1030


def test_longer_bars_are_merged(write: Write) -> None:
    source = prices(write(HEADER, *ROWS))
    bars = source.bars("EURUSD", 4 * 3600, 0, MONDAY_S + 4 * 3600 - 1, 10)
    assert bars["time"].tolist() == [MONDAY_S - 52 * 3600, MONDAY_S]
    assert bars[-1].tolist()[1:5] == (1.0985, 1.1040, 1.0970, 1.1000)
    with pytest.raises(ValueError, match="no bars of this length"):
        source.bars("EURUSD", 60, 0, MONDAY_S, 1)


def test_the_market_closes_at_the_end_of_the_file(write: Write) -> None:
    source = prices(write(HEADER, *ROWS), speed=3600)
    last_s = MONDAY_S + 4 * 3600 - 1
    market = Market(source, lambda: 1000.0)
    now_s = market.now_ms() // 1000
    assert now_s > last_s
    assert not market.is_open("EURUSD", now_s)
    assert market.tick("EURUSD", now_s).time == last_s


def test_times_may_be_dates_or_seconds(write: Write) -> None:
    days = [f"2024-01-{day:02d},10,12,9,11" for day in range(1, 7)]
    assert prices(write("Date,Open,High,Low,Close", *days)).time_ms(0) % 86_400_000 == 0
    ticks = [f"{1_700_000_000 + 60 * i},10,12,9,11" for i in range(6)]
    assert prices(write("t,open,high,low,close", *ticks)).time_ms(0) == 1_700_000_180_000


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "first line"),
        ([HEADER], "fewer than 4"),
        (["time,price", *ROWS], "first line"),
        ([HEADER, *ROWS[:3], "yesterday,1,1,1,1"], "line 5"),
        ([HEADER, *ROWS[:3], "2024-01-09 00:00:00,1,1"], "line 5"),
        ([HEADER, *reversed(ROWS)], "do not grow"),
        ([HEADER, *ROWS[:4], "2024-01-09 00:00:00,1,1,-1,1"], "positive"),
        ([HEADER, *ROWS[:4], "2024-01-09 00:00:00,nan,1,1,1"], "positive"),
        ([HEADER, *ROWS[:4], "2024-01-09 00:00:00,3,2,1,1"], "outside"),
        ([HEADER, *(f"2024-{month:02d}-01,2,2,1,1" for month in range(1, 7))], "longer than a day"),
    ],
)
def test_a_file_that_is_not_prices_is_refused(write: Write, lines: list[str], fault: str) -> None:
    with pytest.raises(CsvFault, match=fault):
        prices(write(*lines))


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CsvFault):
        prices(str(tmp_path / "none.csv"))
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(CsvFault):
        prices(str(tmp_path / "binary.csv"))


def test_the_sample_that_comes_with_the_bot_is_good() -> None:
    bars = prices(f"{SAMPLES_DIR}/sample-h1.csv").bars("EURUSD", 3600, 0, 2**40, 10_000)
    assert bars.size == 600
