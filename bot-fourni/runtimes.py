"""The one place that decides which terminal the bot talks to: simulated or real."""

import importlib
from typing import cast

from config import PAPER, BotConfig
from failures import Unavailable
from terminal_api import Terminal


def load_terminal(bot: BotConfig, run_dir: str) -> Terminal:
    """The module of the bot's runtime, ready for initialize().

    Raises Unavailable when it is not installed, BadConfiguration when it cannot be set up so.
    """
    if bot.runtime == PAPER:
        # Imported here, so that the real runtime does not load the simulation.
        import paper  # noqa: PLC0415
        import paper_setup  # noqa: PLC0415

        paper.configure(paper_setup.conditions(bot, run_dir))
        return paper
    try:
        return cast(Terminal, importlib.import_module("MetaTrader5"))
    except ImportError as cause:
        raise Unavailable("the MetaTrader5 module is not installed") from cause
