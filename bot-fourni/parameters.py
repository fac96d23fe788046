"""The parameters a bot may have: names, ranges, defaults. What is not in the table is refused.

They are flat names with plain values, as in the fleet's manifest. Those that begin with `paper`
belong to the simulated terminal and are refused under any other runtime.
"""

import re
from typing import Any, NamedTuple

from failures import BadConfiguration

TIMEFRAME_LENGTHS_S = {
    "M1": 60,
    "M5": 300,
    "M15": 900,
    "M30": 1_800,
    "H1": 3_600,
    "H4": 14_400,
    "D1": 86_400,
}


class StrategyParameters(NamedTuple):
    """What the strategy trades and how much it risks."""

    symbol: str = "EURUSD"
    timeframe: str = "M1"
    fast_period: int = 10
    """Bars of the fast moving average."""
    slow_period: int = 30
    """Bars of the slow moving average; more than the fast one's."""
    atr_period: int = 14
    """Bars of the average true range."""
    stop_atr: float = 2.0
    """Distance of the stop from the price, in average true ranges."""
    target_atr: float = 3.0
    """Distance of the target, in average true ranges; 0 = none."""
    risk_percent: float = 0.5
    """Part of the equity that is lost when the stop is hit."""
    max_volume: float = 1.0
    """Largest volume of one order, in lots."""
    max_spread_points: int = 50
    """No position is opened while the spread is wider."""
    max_orders_per_day: int = 200
    """Positions are no longer opened after this many orders in one UTC day; closing goes on."""


class PaperParameters(NamedTuple):
    """What the simulated terminal simulates."""

    seed: int = 1
    """The same seed, symbol and time give the same price."""
    csv: str = ""
    """Name of a CSV file to take the prices from; empty = generated prices."""
    speed: float = 1.0
    """Simulated seconds per second."""
    start: str = ""
    """Simulated time at which it starts, ISO 8601 in UTC; empty = now. Not with a CSV file."""
    balance: float = 10_000.0
    """First deposit, in USD."""
    leverage: int = 100
    spread_points: int = 0
    """0 = what is usual for the symbol."""
    market_hours: str = "always"
    """`always`, or `weekdays`: closed on Saturday and Sunday of the simulated time."""
    execution: str = "market"
    """`market`: orders fill at the price of the moment; `instant`: may be requoted."""
    trade_allowed: bool = True
    """Whether algorithmic trading is switched on in the terminal."""
    broker: str = ""
    """Address of a broker that takes each order before it is executed; empty = none asked."""
    fault: str = "none"
    """`crash`: the terminal is gone some time after the login; `hang`: it answers no more."""
    fault_after_s: float = 5.0
    """Seconds from the login to the fault."""


class Parameters(NamedTuple):
    strategy: StrategyParameters
    paper: PaperParameters | None
    """None under a runtime that is not simulated."""


class _Rule(NamedTuple):
    """What one value may be: a range for numbers, a pattern for texts."""

    kind: type
    low: float = 0.0
    high: float = 0.0
    pattern: str = ""


_STRATEGY_RULES = {
    "symbol": _Rule(str, pattern=r"[A-Za-z0-9._#-]{1,31}"),
    "timeframe": _Rule(str, pattern="|".join(TIMEFRAME_LENGTHS_S)),
    "fastPeriod": _Rule(int, 2, 200),
    "slowPeriod": _Rule(int, 3, 400),
    "atrPeriod": _Rule(int, 2, 200),
    "stopAtr": _Rule(float, 0.1, 50),
    "targetAtr": _Rule(float, 0, 100),
    "riskPercent": _Rule(float, 0.01, 5),
    "maxVolume": _Rule(float, 0.001, 1000),
    "maxSpreadPoints": _Rule(int, 1, 100_000),
    "maxOrdersPerDay": _Rule(int, 1, 100_000),
}

_PAPER_RULES = {
    "paperSeed": _Rule(int, 0, 2**53 - 1),
    "paperCsv": _Rule(str, pattern=r"|[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.csv"),
    "paperSpeed": _Rule(float, 0.01, 100_000),
    "paperStart": _Rule(str, pattern=r"|20\d\d-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?"),
    "paperBalance": _Rule(float, 1, 1e9),
    "paperLeverage": _Rule(int, 1, 2000),
    "paperSpreadPoints": _Rule(int, 0, 100_000),
    "paperMarketHours": _Rule(str, pattern="always|weekdays"),
    "paperExecution": _Rule(str, pattern="market|instant"),
    "paperTradeAllowed": _Rule(bool),
    "paperBroker": _Rule(str, pattern=r"|[A-Za-z0-9][A-Za-z0-9.-]{0,252}:[1-9][0-9]{0,4}"),
    "paperFault": _Rule(str, pattern="none|crash|hang"),
    "paperFaultAfterS": _Rule(float, 0, 86_400),
}


def parse(raw: dict[str, object], *, simulated: bool) -> Parameters:
    """Check every parameter. Raises BadConfiguration naming the first that is wrong."""
    rules = _STRATEGY_RULES | (_PAPER_RULES if simulated else {})
    unknown = sorted(raw.keys() - rules.keys())
    if unknown:
        raise BadConfiguration("unknown parameter", parameter=unknown[0])
    values = {name: _checked(name, value, rules[name]) for name, value in raw.items()}
    strategy = StrategyParameters()._replace(**_fields(values, _STRATEGY_RULES, prefix=""))
    if strategy.fast_period >= strategy.slow_period:
        raise BadConfiguration("fastPeriod must be less than slowPeriod", parameter="fastPeriod")
    if not simulated:
        return Parameters(strategy, None)
    paper = PaperParameters()._replace(**_fields(values, _PAPER_RULES, prefix="paper_"))
    if paper.csv and paper.start:
        raise BadConfiguration("a CSV file has its own times", parameter="paperStart")
    return Parameters(strategy, paper)


def _checked(name: str, value: object, rule: _Rule) -> object:
    if rule.kind is bool:
        if isinstance(value, bool):
            return value
        raise BadConfiguration("parameter must be true or false", parameter=name)
    if rule.kind is str:
        if isinstance(value, str) and re.fullmatch(rule.pattern, value):
            return value
        raise BadConfiguration("parameter must match", parameter=name, pattern=rule.pattern)
    return _checked_number(name, value, rule)


def _checked_number(name: str, value: object, rule: _Rule) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadConfiguration("parameter must be a number", parameter=name)
    if not rule.low <= value <= rule.high:
        raise BadConfiguration(
            "parameter out of range", parameter=name, low=rule.low, high=rule.high
        )
    if rule.kind is float:
        return float(value)
    # 10.0 is a whole number too: JSON does not tell the two apart.
    if int(value) != value:
        raise BadConfiguration("parameter must be a whole number", parameter=name)
    return int(value)


def _fields(values: dict[str, object], rules: dict[str, _Rule], *, prefix: str) -> dict[str, Any]:
    """The values of one group, under the names of its tuple: `fastPeriod` -> `fast_period`.

    Any, because each value was checked against its rule and not by the type checker.
    """
    snake = {name: re.sub(r"[A-Z]", lambda m: f"_{m[0].lower()}", name) for name in rules}
    return {snake[name].removeprefix(prefix): values[name] for name in rules if name in values}
