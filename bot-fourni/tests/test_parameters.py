import pytest

import parameters
from failures import BadConfiguration
from parameters import PaperParameters, StrategyParameters


def test_defaults() -> None:
    parsed = parameters.parse({}, simulated=True)
    assert parsed == (StrategyParameters(), PaperParameters())
    assert parameters.parse({}, simulated=False).paper is None


def test_every_parameter_can_be_given() -> None:
    raw: dict[str, object] = {
        "symbol": "USDJPY",
        "timeframe": "H1",
        "fastPeriod": 5,
        "slowPeriod": 20.0,
        "atrPeriod": 10,
        "stopAtr": 1,
        "targetAtr": 0,
        "riskPercent": 1.5,
        "maxVolume": 2,
        "maxSpreadPoints": 10,
        "maxOrdersPerDay": 3,
        "paperSeed": 9,
        "paperCsv": "",
        "paperSpeed": 60,
        "paperStart": "2025-01-06T00:00:00Z",
        "paperBalance": 500,
        "paperLeverage": 30,
        "paperSpreadPoints": 4,
        "paperMarketHours": "weekdays",
        "paperExecution": "instant",
        "paperTradeAllowed": False,
        "paperBroker": "broker.example:4711",
        "paperFault": "crash",
        "paperFaultAfterS": 3,
    }
    parsed = parameters.parse(raw, simulated=True)
    assert parsed.strategy == StrategyParameters(
        "USDJPY", "H1", 5, 20, 10, 1.0, 0.0, 1.5, 2.0, 10, 3
    )
    assert parsed.paper == PaperParameters(
        9,
        "",
        60.0,
        "2025-01-06T00:00:00Z",
        500.0,
        30,
        4,
        "weekdays",
        "instant",
        False,
        "broker.example:4711",
        "crash",
        3.0,
    )
    assert isinstance(parsed.strategy.slow_period, int)
    assert len(raw) == len(StrategyParameters._fields) + len(PaperParameters._fields)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({"fastPeriode": 3}, "fastPeriode"),
        ({"fast_period": 3}, "fast_period"),
        ({"symbol": ""}, "symbol"),
        ({"symbol": "../x"}, "symbol"),
        ({"symbol": "EURUSD\n"}, "symbol"),
        ({"timeframe": "M2"}, "timeframe"),
        ({"fastPeriod": "10"}, "fastPeriod"),
        ({"fastPeriod": True}, "fastPeriod"),
        ({"fastPeriod": 2.5}, "fastPeriod"),
        ({"fastPeriod": 1}, "fastPeriod"),
        ({"fastPeriod": 30, "slowPeriod": 30}, "fastPeriod"),
        ({"riskPercent": 100}, "riskPercent"),
        ({"riskPercent": float("nan")}, "riskPercent"),
        ({"riskPercent": 10**400}, "riskPercent"),
        ({"paperCsv": "../../etc/passwd"}, "paperCsv"),
        ({"paperCsv": "a.csv", "paperStart": "2025-01-06"}, "paperStart"),
        ({"paperTradeAllowed": 1}, "paperTradeAllowed"),
        ({"paperSpeed": None}, "paperSpeed"),
        ({"paperFault": "explode"}, "paperFault"),
    ],
)
def test_bad_parameters_are_named(raw: dict[str, object], name: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parameters.parse(raw, simulated=True)
    assert caught.value.detail["parameter"] == name
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("raw", [{"paperSeed": 1}, {"paperFault": "none"}, {"paperFaultAfterS": 1}])
def test_the_real_runtime_knows_no_simulation(raw: dict[str, object]) -> None:
    with pytest.raises(BadConfiguration, match="unknown"):
        parameters.parse(raw, simulated=False)
