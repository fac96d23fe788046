"""The tuples that the terminal answers with, made from the books."""

from paper import constants as c
from paper.book import (
    MARGIN_CALL_PERCENT,
    STOP_OUT_PERCENT,
    AccountBook,
    Figures,
    entry_price,
    exit_price,
)
from paper.execution import Executed
from paper.requests import RETCODE_TEXTS
from paper.rules import ACCEPTED, MAX_PENDING_ORDERS
from paper.symbols import ACCOUNT_CURRENCY, SymbolTerms
from paper.tuples import (
    AccountInfo,
    OrderCheckResult,
    OrderSendResult,
    SymbolInfo,
    TerminalInfo,
    Tick,
    TradePosition,
    TradeRequest,
)

VERSION = (500, 4000, "1 Jan 2025")
"""Terminal version, build, date of the build: what the simulation calls itself."""

COMPANY = "Tradefleet Paper"
PING_US = 1_000


def terminal_info(trade_allowed: bool, max_bars: int) -> TerminalInfo:
    return TerminalInfo(
        trade_allowed=trade_allowed,
        build=VERSION[1],
        maxbars=max_bars,
        codepage=1252,
        ping_last=PING_US,
        company=COMPANY,
        name="Paper Terminal",
        language="English",
    )


def account_info(login: int, server: str, leverage: int, figures: Figures) -> AccountInfo:
    return AccountInfo(
        login=login,
        trade_mode=c.ACCOUNT_TRADE_MODE_DEMO,
        leverage=leverage,
        limit_orders=MAX_PENDING_ORDERS,
        margin_so_mode=c.ACCOUNT_STOPOUT_MODE_PERCENT,
        trade_allowed=True,
        trade_expert=True,
        margin_mode=c.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING,
        currency_digits=2,
        fifo_close=False,
        balance=figures.balance,
        credit=0.0,
        profit=figures.profit,
        equity=figures.equity,
        margin=figures.margin,
        margin_free=figures.margin_free,
        margin_level=figures.margin_level,
        margin_so_call=MARGIN_CALL_PERCENT,
        margin_so_so=STOP_OUT_PERCENT,
        margin_initial=0.0,
        margin_maintenance=0.0,
        assets=0.0,
        liabilities=0.0,
        commission_blocked=0.0,
        name="Paper account",
        server=server,
        currency=ACCOUNT_CURRENCY,
        company=COMPANY,
    )


def symbol_info(terms: SymbolTerms, tick: Tick, *, selected: bool) -> SymbolInfo:
    tick_value = terms.contract_size * terms.point * terms.profit_rate(tick.bid)
    return SymbolInfo(
        select=selected,
        visible=selected,
        time=tick.time,
        digits=terms.digits,
        spread=terms.spread_points,
        trade_calc_mode=terms.calc_mode,
        trade_mode=terms.trade_mode,
        trade_stops_level=terms.stops_level,
        trade_exemode=terms.execution,
        expiration_mode=15,  # all four kinds of expiry
        filling_mode=terms.filling,
        order_mode=127 - 8,  # every kind of order but stop-limit
        bid=tick.bid,
        ask=tick.ask,
        point=terms.point,
        trade_tick_value=tick_value,
        trade_tick_value_profit=tick_value,
        trade_tick_value_loss=tick_value,
        trade_tick_size=terms.point,
        trade_contract_size=terms.contract_size,
        volume_min=terms.volume_min,
        volume_max=terms.volume_max,
        volume_step=terms.volume_step,
        volume_limit=terms.volume_limit,
        currency_base=terms.base,
        currency_profit=terms.profit_currency,
        currency_margin=terms.base,
        description=terms.description,
        name=terms.name,
        path=f"Paper\\{terms.name}",
    )


def marked_to_market(position: TradePosition, book: AccountBook) -> TradePosition:
    """The position with the price and the profit of the present."""
    price = exit_price(position, book.quotes[position.symbol])
    return position._replace(price_current=price, profit=book.profit_of(position))


def check_result(
    request: TradeRequest, code: int, book: AccountBook, leverage: int
) -> OrderCheckResult:
    """The account as it would be after the order (as it is, when the order is refused)."""
    figures = book.figures()
    margin = figures.margin
    if code == ACCEPTED and request.action == c.TRADE_ACTION_DEAL and not request.position:
        tick = book.quotes[request.symbol]
        terms = book.terms[request.symbol]
        price = entry_price(request.type, tick)
        margin = round(margin + terms.margin(request.volume, price, leverage), 2)
    return OrderCheckResult(
        retcode=code,
        balance=figures.balance,
        equity=figures.equity,
        profit=figures.profit,
        margin=margin,
        margin_free=round(figures.equity - margin, 2),
        margin_level=round(figures.equity / margin * 100, 2) if margin > 0 else 0.0,
        comment=RETCODE_TEXTS[code],
        request=request,
    )


def send_result(
    request: TradeRequest, done: Executed, book: AccountBook, request_id: int
) -> OrderSendResult:
    tick = book.quotes.get(request.symbol)
    return OrderSendResult(
        retcode=done.retcode,
        deal=done.deal,
        order=done.order,
        volume=done.volume,
        price=done.price,
        bid=tick.bid if tick else 0.0,
        ask=tick.ask if tick else 0.0,
        comment=RETCODE_TEXTS[done.retcode],
        request_id=request_id,
        retcode_external=0,
        request=request,
    )
