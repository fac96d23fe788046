"""What can be made to go wrong in the simulated terminal, to try out what the fleet does then.

There is nothing like it under a real terminal: its parameters are refused there.
"""

import time
from typing import Literal, NamedTuple

FaultKind = Literal["none", "crash", "hang"]


class TerminalCrashed(Exception):
    """The simulated terminal is gone, as a real one that crashes: no call can be answered."""


class Fault(NamedTuple):
    """Strikes at the first call that is `after_s` seconds after the login, and at later ones."""

    kind: FaultKind = "none"
    after_s: float = 0.0

    def strike(self, connected_s: float) -> None:
        if self.kind == "none" or connected_s < self.after_s:
            return
        if self.kind == "crash":
            raise TerminalCrashed
        while True:  # never comes back, like a terminal that does not answer
            time.sleep(60)
