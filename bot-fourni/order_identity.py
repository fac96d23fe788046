"""How an order says whose it is, so that it can be found again at the broker.

The magic number is 31 bits of the account's name and 32 bits of the epoch: positions of one account
are ours whatever the epoch, an order of one epoch is told from those of the epochs before.
"""

import zlib
from typing import NamedTuple

from terminal_api import COMMENT_LENGTH_MAX

_EPOCH_BITS = 32


class OrderIdentity(NamedTuple):
    """What every order of this allocation carries."""

    magic: int
    comment: str

    def is_own(self, magic: int) -> bool:
        """Whether an order is of this account, under any epoch."""
        return magic >> _EPOCH_BITS == self.magic >> _EPOCH_BITS


def order_identity(account: str, epoch: int, allocation: str) -> OrderIdentity:
    """Magic and comment `tf:<epoch>:<as much of the allocation's end as fits>`.

    The end of an allocation's id is its random part.
    """
    family = zlib.crc32(account.encode()) >> 1
    magic = (family << _EPOCH_BITS) | (epoch & (2**_EPOCH_BITS - 1))
    prefix = f"tf:{epoch}:"
    room = COMMENT_LENGTH_MAX - len(prefix)
    short = "".join(sign for sign in allocation if sign.isascii() and sign.isalnum())
    return OrderIdentity(magic, prefix + short[-min(room, 12) :])
