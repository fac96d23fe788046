"""What the bot does in one round of its loop: obey the control, follow the strategy, report."""

import config
import risk
import strategy
from clock import Clock
from control import ENABLED, FLATTEN, ControlGate
from journal import Journal
from mt5_data import MarketData, NoData, Quote, read_account
from mt5_trading import Trader
from status import StatusReport
from terminal_api import Terminal

FLATTEN_RETRY_MS = 1_000


class Desk:
    """Decides what the trader is told to do."""

    def __init__(
        self,
        bot: config.BotConfig,
        terminal: Terminal,
        data: MarketData,
        trader: Trader,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._parameters = bot.parameters.strategy
        self._terminal = terminal
        self._data = data
        self._trader = trader
        self._clock = clock
        self._journal = journal
        self._flattened_ms: int | None = None
        self._mode = ""

    def take_over(self) -> None:
        """What earlier bots of this account have done today counts for the limits."""
        try:
            self._trader.count_earlier_orders()
        except NoData as gap:
            self._journal.warn("earlier orders are unknown", what=gap.what)

    def work(self, gate: ControlGate, status: StatusReport) -> None:
        """One round. What the terminal does not give now is tried again in the next one."""
        try:
            self._trader.settle()
            self._obey(gate, status)
            status.account = read_account(self._terminal)
        except NoData as gap:
            status.error = gap.what
        else:
            status.error = None
        status.orders_today = self._trader.orders_today()
        status.beat()

    def _obey(self, gate: ControlGate, status: StatusReport) -> None:
        """Do what control asks. Its sequence is reported once it is done, not when it is seen."""
        control = gate.read()
        if control.trading != self._mode:
            self._mode = control.trading
            self._journal.info(
                "control", trading=control.trading, reason=control.reason, by=control.by
            )
        if control.trading == FLATTEN and not self._flatten():
            return
        status.control_sequence = control.sequence
        if control.trading == ENABLED:
            self._follow_strategy()

    def _flatten(self) -> bool:
        """Whether nothing is open any more. Tries again at most once a second."""
        now_ms = self._clock.boottime_ms()
        if self._flattened_ms is not None and now_ms - self._flattened_ms < FLATTEN_RETRY_MS:
            return self._trader.is_flat()
        self._flattened_ms = now_ms
        self._trader.flatten()
        return self._trader.is_flat()

    def _follow_strategy(self) -> None:
        quote = self._data.quote()
        bars = self._data.newly_closed_bars(quote)
        if bars is None or self._trader.has_order_in_flight():
            return
        signal_now = strategy.signal(bars, self._parameters)
        if signal_now is None:
            return
        held = self._trader.positions()
        if held is None:
            return
        wanted_type = (
            self._terminal.ORDER_TYPE_BUY
            if signal_now.side == "buy"
            else self._terminal.ORDER_TYPE_SELL
        )
        opposite = [each for each in held if each.type != wanted_type]
        # Every one is tried, and the new position waits until none is left.
        closed = [self._trader.close(each) == "done" for each in opposite]
        if all(closed) and len(opposite) == len(held):
            self._open(signal_now, quote)

    def _open(self, signal_now: strategy.Signal, quote: Quote) -> None:
        parameters, terms = self._parameters, self._data.terms()
        if self._trader.orders_today() >= parameters.max_orders_per_day:
            self._journal.warn("no more positions today", limit=parameters.max_orders_per_day)
            return
        if quote.ask - quote.bid > (parameters.max_spread_points + 0.5) * terms.point:
            self._journal.info("spread too wide to open")
            return
        price = quote.ask if signal_now.side == "buy" else quote.bid
        levels = risk.levels(signal_now, price, terms, parameters)
        equity = read_account(self._terminal).equity
        lots = risk.volume(equity, abs(price - levels.stop), terms, parameters)
        if lots == 0:
            self._journal.info("even the least volume would risk too much")
            return
        self._trader.open(parameters.symbol, signal_now.side, lots, levels, quote=self._data.quote)
