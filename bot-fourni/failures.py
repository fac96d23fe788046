"""Why a bot ends. Each failure carries its exit code; its message is a constant sentence."""

import exit_codes


class BotFailure(Exception):
    """An expected reason to end. `detail` holds short values for the log, never a secret."""

    exit_code = exit_codes.INTERNAL

    def __init__(self, message: str, **detail: object) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class BadInput(BotFailure):
    """A file of the runtime directory cannot be used."""

    exit_code = exit_codes.BAD_INPUT


class Unavailable(BotFailure):
    """The terminal or the broker is not there; the same bot may work later."""

    exit_code = exit_codes.UNAVAILABLE


class LeaseEnded(BotFailure):
    """The right to run this allocation is over."""

    exit_code = exit_codes.LEASE_ENDED


class LoginRefused(BotFailure):
    """The credentials do not open the account they should."""

    exit_code = exit_codes.LOGIN_REFUSED


class BadConfiguration(BotFailure):
    """A parameter is unknown or out of range; only a person can repair it."""

    exit_code = exit_codes.BAD_CONFIGURATION


class StopRequested(Exception):
    """SIGTERM or SIGINT arrived; not a failure."""
