"""A simulated MetaTrader 5 terminal with the names of the MetaTrader5 module.

What the bot uses is here under the same names, with the same tuples, return codes and failures.
Not here: market_book_*, copy_ticks_range, stop-limit orders, the timeframes W1 and MN1 and those
without a constant. `configure` exists here only and comes before `initialize`.
"""

from paper.constants import *  # noqa: F403
from paper.terminal import Conditions as Conditions
from paper.terminal import PaperTerminal as PaperTerminal

_terminal = PaperTerminal()

configure = _terminal.configure

initialize = _terminal.initialize
login = _terminal.login
shutdown = _terminal.shutdown
version = _terminal.version
last_error = _terminal.last_error
terminal_info = _terminal.terminal_info
account_info = _terminal.account_info
symbols_total = _terminal.symbols_total
symbols_get = _terminal.symbols_get
symbol_info = _terminal.symbol_info
symbol_info_tick = _terminal.symbol_info_tick
symbol_select = _terminal.symbol_select
copy_rates_from = _terminal.copy_rates_from
copy_rates_from_pos = _terminal.copy_rates_from_pos
copy_rates_range = _terminal.copy_rates_range
copy_ticks_from = _terminal.copy_ticks_from
orders_total = _terminal.orders_total
orders_get = _terminal.orders_get
positions_total = _terminal.positions_total
positions_get = _terminal.positions_get
history_orders_total = _terminal.history_orders_total
history_orders_get = _terminal.history_orders_get
history_deals_total = _terminal.history_deals_total
history_deals_get = _terminal.history_deals_get
order_check = _terminal.order_check
order_send = _terminal.order_send
order_calc_margin = _terminal.order_calc_margin
order_calc_profit = _terminal.order_calc_profit
