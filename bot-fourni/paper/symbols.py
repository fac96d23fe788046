"""Terms of the symbols that the simulated broker offers. The account's currency is USD."""

from typing import NamedTuple

from paper import constants as c

ACCOUNT_CURRENCY = "USD"


class SymbolTerms(NamedTuple):
    """Terms of one symbol. One side of it is always USD, so its own price converts all money."""

    name: str
    description: str
    base: str
    profit_currency: str
    digits: int
    contract_size: float
    spread_points: int
    typical_price: float
    """Around this the generator moves."""
    volatility: float
    """Standard deviation of the price within a year, as a part of it."""
    volume_min: float = 0.01
    volume_max: float = 100.0
    volume_step: float = 0.01
    volume_limit: float = 200.0
    """Most lots in one direction, positions and pending orders together."""
    stops_level: int = 10
    """Least distance of stops and pending orders from the price, in points."""
    filling: int = c.SYMBOL_FILLING_FOK | c.SYMBOL_FILLING_IOC
    trade_mode: int = c.SYMBOL_TRADE_MODE_FULL
    execution: int = c.SYMBOL_TRADE_EXECUTION_MARKET
    calc_mode: int = c.SYMBOL_CALC_MODE_FOREX

    @property
    def point(self) -> float:
        return round(10.0**-self.digits, self.digits)

    @property
    def spread(self) -> float:
        """Ask minus bid, in units of the price."""
        return self.spread_points * self.point

    def profit_rate(self, price: float) -> float:
        """USD per unit of the profit currency, at `price` of this symbol."""
        return 1.0 if self.profit_currency == ACCOUNT_CURRENCY else 1.0 / price

    def profit(self, direction: int, volume: float, opened: float, closed: float) -> float:
        """Profit in USD of `volume` lots; `direction` is 1 for buy and -1 for sell."""
        raw = direction * (closed - opened) * volume * self.contract_size
        return round(raw * self.profit_rate(closed), 2)

    def margin(self, volume: float, price: float, leverage: int) -> float:
        """Margin in USD that `volume` lots opened at `price` need."""
        worth = volume * self.contract_size
        if self.base != ACCOUNT_CURRENCY:
            worth *= price
        return round(worth / leverage, 2)


_ALL = (
    SymbolTerms("EURUSD", "Euro vs US Dollar", "EUR", "USD", 5, 100_000, 8, 1.1, 0.08),
    SymbolTerms("GBPUSD", "Pound Sterling vs US Dollar", "GBP", "USD", 5, 100_000, 12, 1.28, 0.09),
    SymbolTerms("USDJPY", "US Dollar vs Yen", "USD", "JPY", 3, 100_000, 9, 148.0, 0.10),
    SymbolTerms(
        "XAUUSD",
        "Gold vs US Dollar",
        "XAU",
        "USD",
        2,
        100,
        20,
        2400.0,
        0.15,
        calc_mode=c.SYMBOL_CALC_MODE_CFDLEVERAGE,
    ),
    SymbolTerms(
        "BTCUSD",
        "Bitcoin vs US Dollar",
        "BTC",
        "USD",
        2,
        1,
        1500,
        60_000.0,
        0.5,
        stops_level=1000,
        calc_mode=c.SYMBOL_CALC_MODE_CFDLEVERAGE,
    ),
)

SYMBOLS = {terms.name: terms for terms in _ALL}
