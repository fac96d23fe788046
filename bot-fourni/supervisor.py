"""The guard between PID 1 and the bot: no lease, no bot.

              live lease             the bot ends by itself: its own code
    waiting ──────────────▶ running ───────────────────────────────────────▶ sweeping ─▶ exit
       │                       │                                                 ▲
       │ no lease for          │ SIGTERM or SIGINT: forwarded to the group       │
       │ 30 s: 75              ▼                                                 │
       │ SIGTERM: 0         stopping ── the bot ends: 0 · the grace is over: 137 ┤
       ▼                                                                         │
      exit        running or stopping ── the lease ends, or its file names       │
                                         another epoch or allocation: SIGKILL 75 ┘

It needs neither the agent nor dockerd: a file that is missing or broken changes nothing, the last
deadline seen goes on counting. Sweeping kills all that is left below this process, also what left
the bot's process group. Nothing is ever restarted.

It logs nothing while the bot lives: a reader of the log that hangs must not delay the kill.
"""

import ctypes
import os
import signal
import sys
from typing import NamedTuple

HOME = os.path.dirname(os.path.abspath(__file__))
# `python -I` leaves the script's own directory out of the path.
sys.path.insert(0, HOME)

import documents  # noqa: E402
import exit_codes  # noqa: E402
import lease  # noqa: E402
from journal import Journal  # noqa: E402

FIRST_LEASE_WAIT_MS = 30_000
TICK_S = 0.25
DEFAULT_STOP_GRACE_MS = 5_000
MAX_STOP_GRACE_MS = 600_000
SWEEP_LIMIT_MS = 5_000
SWEEP_PAUSE_S = 0.01

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
WATCHED_SIGNALS = (*STOP_SIGNALS, signal.SIGCHLD)

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

# One thread of linear algebra is enough for a bot, and hundreds of bots share a host.
BOT_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


class Ending(NamedTuple):
    """Why the bot is no more. `status` is the raw wait status, None when it had to be killed."""

    reason: str
    status: int | None
    stop_asked: bool


def main() -> int:
    journal = Journal("supervisor")
    run_dir = os.environ.get("TRADEFLEET_RUN_DIR", "/run/tradefleet")
    # Blocked and collected with sigtimedwait: no handler, no race, no lost signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED_SIGNALS)
    become_subreaper()
    lease_path = os.path.join(run_dir, "lease.json")
    right = wait_for_lease(lease_path)
    if isinstance(right, int):
        journal.warn("nothing was started", exitCode=right)
        return right
    grace_ms = stop_grace_ms(run_dir)
    journal.info("starting the bot", allocation=right.allocation, epoch=right.epoch)
    bot = start_bot()
    try:
        ending = guard(bot, lease_path, right, grace_ms)
    finally:
        clean = sweep()
    code = exit_code(ending)
    journal.info("bot ended", reason=ending.reason, exitCode=code, nothingLeft=clean)
    return code


def become_subreaper() -> None:
    """Make orphans below us our children, so that none can escape the sweep."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def wait_for_lease(path: str) -> lease.Lease | int:
    """The first live lease, or the exit code when there is none in time or a stop was asked."""
    give_up_ms = lease.boottime_ms() + FIRST_LEASE_WAIT_MS
    while (now_ms := lease.boottime_ms()) < give_up_ms:
        found = read_lease(path, now_ms)
        if found is not None and found.remaining_ms(now_ms) > 0:
            return found
        received = signal.sigtimedwait(WATCHED_SIGNALS, TICK_S)
        if received is not None and received.si_signo in STOP_SIGNALS:
            return exit_codes.STOPPED
    return exit_codes.LEASE_ENDED


def read_lease(path: str, now_ms: int) -> lease.Lease | None:
    """The lease in the file, None when the file says nothing that can be trusted."""
    try:
        return lease.read(path, now_ms)
    except documents.BadDocument:
        return None


def stop_grace_ms(run_dir: str) -> int:
    """How long the bot may take to stop. The bot itself refuses a bot.json that is broken."""
    path = os.path.join(run_dir, "bot.json")
    try:
        document = documents.read(path)
        if "stopGraceMs" not in document:
            return DEFAULT_STOP_GRACE_MS
        return documents.integer(document, path, "stopGraceMs", 0, MAX_STOP_GRACE_MS)
    except documents.BadDocument:
        return DEFAULT_STOP_GRACE_MS


def start_bot() -> int:
    """Start main.py as the leader of its own process group. Returns its process id."""
    return os.posix_spawn(
        sys.executable,
        # -E -s: neither PYTHON* variables nor a user's packages change what runs.
        [sys.executable, "-E", "-s", os.path.join(HOME, "main.py")],
        os.environ | BOT_ENVIRONMENT,
        setpgroup=0,
        setsigmask=(),
        setsigdef=(*WATCHED_SIGNALS, signal.SIGPIPE),
    )


def guard(bot: int, lease_path: str, first: lease.Lease, grace_ms: int) -> Ending:
    """Watch lease, signals and bot until the bot has ended or was killed."""
    right, stop_by_ms = first, None
    while True:
        now_ms = lease.boottime_ms()
        seen = read_lease(lease_path, now_ms)
        if seen is not None and not seen.is_same_right(first):
            kill_group(bot)
            return Ending("lease replaced", None, stop_by_ms is not None)
        right = seen or right
        if right.remaining_ms(now_ms) <= 0:
            kill_group(bot)
            return Ending("lease ended", None, stop_by_ms is not None)
        if stop_by_ms is not None and now_ms >= stop_by_ms:
            kill_group(bot)
            return Ending("stop grace over", None, True)
        wait_ms = min(right.remaining_ms(now_ms), (stop_by_ms or right.deadline_ms) - now_ms)
        received = signal.sigtimedwait(WATCHED_SIGNALS, min(TICK_S, wait_ms / 1000))
        status = reap(bot)
        if status is not None:
            return Ending("bot ended by itself", status, stop_by_ms is not None)
        if received is not None and received.si_signo in STOP_SIGNALS:
            os.killpg(bot, received.si_signo)
            stop_by_ms = stop_by_ms or lease.boottime_ms() + grace_ms


def kill_group(bot: int) -> None:
    """SIGKILL the bot's process group: not reaped yet, so the number is still its own."""
    os.killpg(bot, signal.SIGKILL)


def reap(bot: int) -> int | None:
    """Collect every child that has died. Returns the bot's wait status when it is among them."""
    status = None
    while True:
        try:
            pid, raw = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == bot:
            status = raw


def sweep() -> bool:
    """SIGKILL and collect all that is left below this process. False when something survives.

    Only children are looked for: whoever they leave behind becomes our child in the next round.
    """
    give_up_ms = lease.boottime_ms() + SWEEP_LIMIT_MS
    while lease.boottime_ms() < give_up_ms:
        for pid in children():
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue  # gone meanwhile, or not ours to kill: the result tells
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                continue
        except ChildProcessError:
            return True
        signal.sigtimedwait((signal.SIGCHLD,), SWEEP_PAUSE_S)
    return False


def children() -> list[int]:
    """Process ids whose parent is this process, zombies included."""
    own = str(os.getpid())
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # "pid (any name, also with brackets) state parent ..."
                fields = file.read(4096).rpartition(b")")[2].split()
        except OSError:
            continue  # ended while we looked
        if len(fields) > 1 and fields[1].decode() == own:
            found.append(int(name))
    return found


def exit_code(ending: Ending) -> int:
    """What the agent is told."""
    if ending.reason in ("lease ended", "lease replaced"):
        return exit_codes.LEASE_ENDED
    if ending.status is None:
        return 128 + signal.SIGKILL
    code = os.waitstatus_to_exitcode(ending.status)
    if ending.stop_asked and -code in STOP_SIGNALS:
        return exit_codes.STOPPED  # it was too young to have a handler, and obeyed nevertheless
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as defect:  # noqa: BLE001 - the agent must see a code, not a traceback
        Journal("supervisor").error("defect", error=repr(defect))
        sys.exit(exit_codes.INTERNAL)
