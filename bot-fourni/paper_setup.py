"""From the bot's parameters to the market that the simulated terminal shows."""

import os
import time
from datetime import UTC, datetime
from typing import cast

from config import BotConfig
from failures import BadConfiguration
from paper import Conditions
from paper import constants as c
from paper.broker_link import BrokerLink, LinkIdentity
from paper.csv_prices import CsvFault, CsvPrices
from paper.fault import Fault, FaultKind
from paper.market import Market
from paper.prices import GeneratedPrices, PriceSource
from paper.symbols import SYMBOLS, SymbolTerms
from parameters import PaperParameters

SAMPLES_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "paper", "samples")
VOLUME_DIR = "/config"
"""The named volume of the container."""


def conditions(bot: BotConfig, run_dir: str) -> Conditions:
    """What is simulated; its clock starts now. Raises BadConfiguration."""
    paper = bot.parameters.paper or PaperParameters()
    symbol = bot.parameters.strategy.symbol
    source = _source(paper, symbol, (run_dir, VOLUME_DIR, SAMPLES_DIR))
    started_s = time.monotonic()
    market = Market(source, lambda: time.monotonic() - started_s)
    link = None
    if paper.broker:
        link = BrokerLink(paper.broker, LinkIdentity(bot.account, bot.epoch, bot.allocation))
    kind = cast(FaultKind, paper.fault)  # checked by its parameter's pattern
    fault = Fault(kind, paper.fault_after_s)
    return Conditions(market, paper.balance, paper.leverage, paper.trade_allowed, link, fault)


def _source(paper: PaperParameters, symbol: str, directories: tuple[str, ...]) -> PriceSource:
    offered = {name: _adapted(terms, paper) for name, terms in SYMBOLS.items()}
    if symbol not in offered:
        raise BadConfiguration("the simulated broker does not offer the symbol", parameter="symbol")
    if not paper.csv:
        return GeneratedPrices(
            paper.seed,
            tuple(offered.values()),
            _start_s(paper.start),
            paper.speed,
            weekdays_only=paper.market_hours == "weekdays",
        )
    try:
        return CsvPrices(_find(paper.csv, directories), offered[symbol], paper.speed)
    except CsvFault as fault:
        raise BadConfiguration(
            "the CSV file cannot be used", parameter="paperCsv", fault=str(fault)
        ) from fault


def _adapted(terms: SymbolTerms, paper: PaperParameters) -> SymbolTerms:
    instant = paper.execution == "instant"
    return terms._replace(
        spread_points=paper.spread_points or terms.spread_points,
        execution=c.SYMBOL_TRADE_EXECUTION_INSTANT if instant else terms.execution,
    )


def _start_s(start: str) -> float:
    if not start:
        return time.time()
    try:
        moment = datetime.fromisoformat(start)
    except ValueError as cause:
        raise BadConfiguration("not a time", parameter="paperStart") from cause
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _find(name: str, directories: tuple[str, ...]) -> str:
    """A plain file name (checked by its parameter's pattern) in the first directory that has it."""
    for directory in directories:
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            return path
    raise BadConfiguration("no such CSV file", parameter="paperCsv")
