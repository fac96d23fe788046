"""The kill switch as the bot sees it: control.json, read freshly before every order."""

from typing import Final, NamedTuple

import documents
import lease

ENABLED: Final = "enabled"
"""The strategy may trade."""

HALTED: Final = "halted"
"""No order is sent. Stops and targets at the broker stay."""

FLATTEN: Final = "flatten"
"""Only orders that close positions or remove pending orders are sent."""

TRADING_MODES = (ENABLED, HALTED, FLATTEN)


class Control(NamedTuple):
    """What is asked, why and by whom. `sequence` only grows; 0 when nothing was ever read."""

    trading: str
    reason: str
    by: str
    sequence: int


class ControlGate:
    """Reads control.json. What cannot be trusted counts as halted: silence never enables."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._latest = Control(HALTED, "no control was read yet", "bot", 0)

    def read(self) -> Control:
        """The newest control. One with a lower sequence than before is old and not obeyed."""
        try:
            found = self._parse()
        except documents.BadDocument as fault:
            return Control(HALTED, str(fault), "bot", self._latest.sequence)
        if found.sequence >= self._latest.sequence:
            self._latest = found
        return self._latest

    def _parse(self) -> Control:
        path = self._path
        document = documents.read(path)
        trading = documents.text(document, path, "trading")
        if trading not in TRADING_MODES:
            raise documents.BadDocument(path, "trading is none of its words")
        return Control(
            trading=trading,
            reason=_remark(document, "reason"),
            by=_remark(document, "by"),
            sequence=documents.integer(document, path, "sequence", 0, lease.MAX_INTEGER),
        )


def _remark(document: documents.Document, key: str) -> str:
    """A text for people. It never decides, so a missing one is no reason to disobey."""
    value = document.get(key)
    return value[:256] if isinstance(value, str) else ""
