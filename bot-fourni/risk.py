"""How much to trade and where to place stop and target: pure arithmetic."""

import math
from typing import NamedTuple

from parameters import StrategyParameters
from strategy import Signal


class ContractTerms(NamedTuple):
    """Terms of a symbol that orders must keep."""

    digits: int
    point: float
    tick_size: float
    tick_value: float
    """Worth of one tick of one lot, in the account's currency."""
    stops_distance: float
    """Least distance of stop and target from the price, in units of the price."""
    volume_min: float
    volume_max: float
    volume_step: float


class Levels(NamedTuple):
    """Stop and target as prices; a target of 0 means none (as in the terminal's interface)."""

    stop: float
    target: float


def levels(
    signal: Signal, price: float, terms: ContractTerms, parameters: StrategyParameters
) -> Levels:
    """Stop and target for a position opened at `price`, kept away from it as the broker wants."""
    direction = 1 if signal.side == "buy" else -1
    # One point more than the least distance: the price moves while the order travels.
    least = terms.stops_distance + terms.point
    stop = price - direction * max(signal.atr * parameters.stop_atr, least)
    target = price + direction * max(signal.atr * parameters.target_atr, least)
    return Levels(
        stop=round(stop, terms.digits),
        target=round(target, terms.digits) if parameters.target_atr > 0 else 0.0,
    )


def volume(
    equity: float, stop_distance: float, terms: ContractTerms, parameters: StrategyParameters
) -> float:
    """Lots that lose `riskPercent` of the equity over `stop_distance`, rounded down to the step.

    0 when even the least volume would risk more than that, or when nothing can be computed.
    """
    if stop_distance <= 0 or equity <= 0 or terms.tick_size <= 0 or terms.tick_value <= 0:
        return 0.0
    loss_per_lot = stop_distance / terms.tick_size * terms.tick_value
    wanted = equity * parameters.risk_percent / 100 / loss_per_lot
    wanted = min(wanted, parameters.max_volume, terms.volume_max)
    # The small addend lets 0.3 / 0.1 be 3 steps and not 2.
    steps = math.floor(wanted / terms.volume_step + 1e-9)
    lots = round(steps * terms.volume_step, 8)
    return lots if lots >= terms.volume_min else 0.0
