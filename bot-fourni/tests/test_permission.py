from pathlib import Path

import pytest

from control import Control, ControlGate
from failures import LeaseEnded
from permission import ORDER_ROUND_TRIP_MS, LeaseKeeper, NotPermitted, OrderPermission
from tests.builders import ManualClock
from tests.run_directory import ALLOCATION, EPOCH, RunDirectory


class Situation:
    """A lease and a control on disk, and a clock that stands."""

    def __init__(self, root: Path) -> None:
        self.run = RunDirectory(root)
        self.clock = ManualClock()
        self.keeper = LeaseKeeper(self.run.path("lease.json"), ALLOCATION, EPOCH, self.clock)
        self.gate = ControlGate(self.run.path("control.json"))
        self.permission = OrderPermission(self.keeper, self.gate)
        self.lease(10_000)
        self.run.write_control()

    def lease(self, ttl_ms: int, **fields: object) -> None:
        now_ms = self.clock.now_ms
        times = {"deadlineBoottimeMs": now_ms + ttl_ms, "writtenBoottimeMs": now_ms}
        self.run.write_lease(0, **times | fields)

    def allows(self, *, reducing: bool = False) -> bool:
        try:
            self.permission.require(reducing=reducing)
        except NotPermitted:
            return False
        return True


@pytest.fixture
def situation(tmp_path: Path) -> Situation:
    return Situation(tmp_path)


def test_a_live_lease_and_enabled_trading_allow_orders(situation: Situation) -> None:
    assert situation.allows()
    assert situation.allows(reducing=True)


@pytest.mark.parametrize(
    ("left_ms", "allowed"),
    [(ORDER_ROUND_TRIP_MS + 1, True), (ORDER_ROUND_TRIP_MS, False), (1, False)],
)
def test_an_order_must_reach_the_broker_before_the_lease_ends(
    situation: Situation, left_ms: int, allowed: bool
) -> None:
    situation.clock.now_ms += 10_000 - left_ms
    assert situation.allows() is allowed
    assert situation.allows(reducing=True) is allowed


def test_nothing_is_sent_after_the_deadline_not_even_to_close(situation: Situation) -> None:
    situation.clock.now_ms += 10_000
    for reducing in (False, True):
        with pytest.raises(LeaseEnded):
            situation.permission.require(reducing=reducing)


def test_every_order_reads_the_lease_again(situation: Situation) -> None:
    assert situation.allows()
    situation.lease(0)
    with pytest.raises(LeaseEnded):
        situation.permission.require(reducing=False)
    situation.lease(10_000)
    assert situation.allows()


@pytest.mark.parametrize("fields", [{"epoch": EPOCH + 1}, {"allocation": "another"}])
def test_the_lease_of_another_epoch_or_allocation_ends_the_bot(
    situation: Situation, fields: dict[str, object]
) -> None:
    situation.lease(10_000, **fields)
    with pytest.raises(LeaseEnded, match="another"):
        situation.permission.require(reducing=True)
    with pytest.raises(LeaseEnded, match="another"):
        situation.keeper.refresh()


@pytest.mark.parametrize("content", [None, "", "{", '{"schema":1}'])
def test_an_unreadable_lease_allows_no_order_but_the_last_deadline_counts_on(
    situation: Situation, content: str | None
) -> None:
    situation.keeper.refresh()
    path = situation.run.root / "lease.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert not situation.allows(reducing=True)
    situation.clock.now_ms += 9_999
    situation.keeper.refresh()
    situation.clock.now_ms += 1
    with pytest.raises(LeaseEnded):
        situation.keeper.refresh()


@pytest.mark.parametrize(
    "fields",
    [
        {"writtenBoottimeMs": 10**12, "deadlineBoottimeMs": 10**12 + 5},
        {"deadlineBoottimeMs": 10**12},
        {"deadlineBoottimeMs": -1},
        {"epoch": 1.5},
    ],
)
def test_a_lease_that_cannot_be_true_is_unreadable(
    situation: Situation, fields: dict[str, object]
) -> None:
    situation.lease(10_000, **fields)
    assert not situation.allows()
    with pytest.raises(LeaseEnded, match="no lease"):
        situation.keeper.refresh()


@pytest.mark.parametrize(
    ("trading", "opening", "reducing"),
    [("enabled", True, True), ("flatten", False, True), ("halted", False, False)],
)
def test_control_decides_what_may_be_sent(
    situation: Situation, trading: str, opening: bool, reducing: bool
) -> None:
    situation.run.write_control(trading, 2)
    assert situation.allows() is opening
    assert situation.allows(reducing=True) is reducing


def test_an_older_control_is_not_obeyed(situation: Situation) -> None:
    situation.run.write_control("halted", 5)
    assert not situation.allows()
    situation.run.write_control("enabled", 4)
    assert not situation.allows()
    situation.run.write_control("enabled", 6)
    assert situation.allows()


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[]",
        '{"schema":1,"trading":"on","sequence":9}',
        '{"schema":1,"trading":"enabled"}',
    ],
)
def test_what_cannot_be_read_halts(situation: Situation, content: str | None) -> None:
    assert situation.allows()
    path = situation.run.root / "control.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    control = situation.gate.read()
    assert control.trading == "halted"
    assert control.sequence == 1
    assert not situation.allows(reducing=True)


def test_who_and_why_are_for_people_only(situation: Situation) -> None:
    path = situation.run.root / "control.json"
    path.write_text('{"schema":1,"trading":"flatten","sequence":3,"by":7}')
    assert situation.gate.read() == Control("flatten", "", "", 3)
