"""Exit codes of the supervisor and of the bot. The agent turns them into reasons.

The numbers are those of sysexits.h, so that a person who knows Unix can guess them.
"""

STOPPED = 0
"""Stopped because it was asked to."""

BAD_INPUT = 65
"""A file of the runtime directory is missing, malformed or belongs to another allocation."""

UNAVAILABLE = 69
"""The broker or the terminal cannot be reached, or does not become ready in time."""

INTERNAL = 70
"""A defect of the bot or of the supervisor."""

LEASE_ENDED = 75
"""The lease is missing or has ended."""

LOGIN_REFUSED = 77
"""The broker refused the credentials, or they open another account."""

BAD_CONFIGURATION = 78
"""A parameter of the bot is unknown or out of its range."""
