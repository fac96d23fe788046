"""The strategy: a moving-average cross with a stop by average true range.

Pure functions over arrays of closed bars, oldest first. It is simple on purpose: it shows that a
bot trades under the fleet's rules, it does not promise a profit.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from parameters import StrategyParameters

FloatArray = npt.NDArray[np.float64]
Side = Literal["buy", "sell"]


class Bars(NamedTuple):
    """Closed bars, oldest first; `times` are opening times in seconds of the broker's clock."""

    times: npt.NDArray[np.int64]
    high: FloatArray
    low: FloatArray
    close: FloatArray


class Signal(NamedTuple):
    """What the last closed bar says. `atr` is in units of the price."""

    side: Side
    atr: float


def bars_needed(parameters: StrategyParameters) -> int:
    """How many closed bars `signal` needs: one more than the slower average for the cross."""
    return max(parameters.slow_period, parameters.atr_period) + 1


def moving_average(values: FloatArray, period: int) -> FloatArray:
    """Simple moving average; the result is `period - 1` shorter than the input."""
    if not 1 <= period <= values.size:
        raise ValueError("period out of range")
    average: FloatArray = np.lib.stride_tricks.sliding_window_view(values, period).mean(axis=1)
    return average


def average_true_range(bars: Bars, period: int) -> float:
    """Mean of the last `period` true ranges, in units of the price."""
    if not 1 <= period < bars.close.size:
        raise ValueError("period out of range")
    high, low, previous = bars.high[-period:], bars.low[-period:], bars.close[-period - 1 : -1]
    ranges = np.maximum(high, previous) - np.minimum(low, previous)
    return float(ranges.mean())


def signal(bars: Bars, parameters: StrategyParameters) -> Signal | None:
    """The cross made by the last closed bar; None without a cross, or with too few bars."""
    if bars.close.size < bars_needed(parameters):
        return None
    fast = moving_average(bars.close, parameters.fast_period)[-2:]
    slow = moving_average(bars.close, parameters.slow_period)[-2:]
    atr = average_true_range(bars, parameters.atr_period)
    if atr <= 0:
        return None  # a market that does not move gives no distance for a stop
    before, after = fast - slow
    if before <= 0 < after:
        return Signal("buy", atr)
    if before >= 0 > after:
        return Signal("sell", atr)
    return None
