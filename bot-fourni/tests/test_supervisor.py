"""The supervisor with real processes. The bot is replaced by small scripts."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import exit_codes
from lease import boottime_ms
from tests.builders import wait_for
from tests.run_directory import EPOCH, RunDirectory

HOME = Path(__file__).resolve().parent.parent
SOURCES = ("supervisor.py", "documents.py", "exit_codes.py", "journal.py", "lease.py")

NOTE_PID = """
import os, signal, sys, time
def note(name):
    path = os.path.join(os.environ["TRADEFLEET_RUN_DIR"], "out", name)
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
"""
SLEEP = "\nnote('bot')\nwhile True: time.sleep(60)\n"
STUBBORN = "\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)" + SLEEP


class Guarded:
    """A supervisor, started by the test, with a script as its bot."""

    def __init__(self, root: Path, bot: str, settings: str) -> None:
        self.run = RunDirectory(root / "run")
        self._home = root / "home"
        self._home.mkdir()
        for name in SOURCES:
            shutil.copy(HOME / name, self._home)
        (self._home / "main.py").write_text(NOTE_PID + bot)
        self._code = f"import sys, supervisor\n{settings}\nsys.exit(supervisor.main())"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "Guarded":
        self.process = subprocess.Popen(
            [sys.executable, "-c", self._code],
            cwd=self._home,
            env=os.environ | {"TRADEFLEET_RUN_DIR": str(self.run.root)},
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def pid(self, name: str = "bot") -> int:
        """The process id that a script has noted."""
        path = self.run.root / "out" / name
        return int(wait_for(lambda: path.exists() and path.read_text()) or "0")

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ended(self, within_s: float = 25.0) -> int:
        assert self.process is not None
        return self.process.wait(within_s)

    def log(self) -> list[dict[str, object]]:
        assert self.process is not None
        assert self.process.stdout is not None
        return [json.loads(line) for line in self.process.stdout]


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


Start = Callable[..., Guarded]


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Start]:
    made: list[Guarded] = []

    def make(bot: str = SLEEP, settings: str = "") -> Guarded:
        made.append(Guarded(tmp_path, bot, settings))
        return made[-1]

    yield make
    for each in made:
        if each.process is not None:
            each.process.kill()
            each.process.wait()
            if each.process.stdout is not None:
                each.process.stdout.close()
        for note in (each.run.root / "out").iterdir():
            pid = int(note.read_text() or "0")
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_nothing_is_started_without_a_lease(guard: Start) -> None:
    guarded = guard(settings="supervisor.FIRST_LEASE_WAIT_MS = 300").start()
    assert guarded.ended() == exit_codes.LEASE_ENDED
    assert not (guarded.run.root / "out" / "bot").exists()


@pytest.mark.parametrize("kind", ["over", "corrupt", "another boot", "too long"])
def test_nothing_is_started_with_a_dead_lease(guard: Start, kind: str) -> None:
    guarded = guard(settings="supervisor.FIRST_LEASE_WAIT_MS = 300")
    deadline = guarded.run.write_lease(-1)
    if kind == "corrupt":
        (guarded.run.root / "lease.json").write_text("{")
    elif kind == "another boot":
        future = deadline + 10**9
        guarded.run.write_lease(0, writtenBoottimeMs=future, deadlineBoottimeMs=future + 5_000)
    elif kind == "too long":
        guarded.run.write_lease(0, deadlineBoottimeMs=deadline + 10**9)
    assert guarded.start().ended() == exit_codes.LEASE_ENDED
    assert not (guarded.run.root / "out" / "bot").exists()


def test_the_first_lease_is_waited_for(guard: Start) -> None:
    guarded = guard("note('bot')\nsys.exit(69)").start()
    guarded.run.write_lease(60_000)
    assert guarded.ended() == 69
    guarded.pid()


def test_a_stop_while_waiting_for_the_lease(guard: Start) -> None:
    guarded = guard(settings="open('ready', 'w').close()").start()
    wait_for((guarded.run.root.parent / "home" / "ready").exists)
    guarded.send(signal.SIGTERM)
    code = guarded.ended()
    # Before its first line the supervisor has no say in what a signal does to it.
    assert code in (exit_codes.STOPPED, -signal.SIGTERM)


def test_the_group_is_killed_when_the_lease_passes(guard: Start) -> None:
    child = "\nif os.fork() == 0:\n    note('child')\n    time.sleep(600)"
    guarded = guard(child + STUBBORN)
    guarded.run.write_lease(60_000)
    guarded.start()
    bot, child_pid = guarded.pid(), guarded.pid("child")
    assert os.getpgid(bot) == bot == os.getpgid(child_pid)
    deadline = guarded.run.write_lease(300)
    assert guarded.ended() == exit_codes.LEASE_ENDED
    assert not is_alive(bot)
    assert not is_alive(child_pid)
    assert boottime_ms() >= deadline


def test_a_grandchild_in_its_own_session_is_killed_too(guard: Start) -> None:
    """Daemonised twice: it has left the group, the session and its parent."""
    daemon = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note('daemon')
        time.sleep(600)
    os._exit(0)
"""
    guarded = guard(daemon + SLEEP)
    guarded.run.write_lease(60_000)
    guarded.start()
    bot, daemon_pid = guarded.pid(), guarded.pid("daemon")
    assert os.getpgid(daemon_pid) != bot
    guarded.run.write_lease(0)
    assert guarded.ended() == exit_codes.LEASE_ENDED
    assert not is_alive(bot)
    assert not is_alive(daemon_pid)
    assert guarded.log()[-1]["nothingLeft"] is True


def test_what_the_bot_leaves_behind_is_killed(guard: Start) -> None:
    leaver = """
if os.fork() == 0:
    os.setsid()
    note('daemon')
    time.sleep(600)
while not os.path.exists(os.path.join(os.environ["TRADEFLEET_RUN_DIR"], "out", "daemon")):
    time.sleep(0.01)
sys.exit(3)
"""
    guarded = guard(leaver)
    guarded.run.write_lease(60_000)
    assert guarded.start().ended() == 3
    assert not is_alive(guarded.pid("daemon"))


@pytest.mark.parametrize("fields", [{"epoch": EPOCH + 1}, {"allocation": "another"}])
def test_another_epoch_or_allocation_kills(guard: Start, fields: dict[str, object]) -> None:
    guarded = guard(STUBBORN)
    guarded.run.write_lease(60_000)
    bot = guarded.start().pid()
    guarded.run.write_lease(60_000, **fields)
    assert guarded.ended() == exit_codes.LEASE_ENDED
    assert not is_alive(bot)
    assert guarded.log()[-1]["reason"] == "lease replaced"


NOTE_WHAT_IS_SEEN = """
read = supervisor.read_lease
def noted(path, now_ms):
    found = read(path, now_ms)
    if found is not None:
        with open("seen.new", "w") as file:
            file.write(str(found.deadline_ms))
        __import__("os").rename("seen.new", "seen")
    return found
supervisor.read_lease = noted
"""


def has_seen(guarded: Guarded, deadline_ms: int) -> bool:
    return (guarded.run.root.parent / "home" / "seen").read_text() == str(deadline_ms)


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_a_broken_file_keeps_the_last_deadline(guard: Start, content: str | None) -> None:
    guarded = guard(settings=NOTE_WHAT_IS_SEEN)
    guarded.run.write_lease(60_000)
    bot = guarded.start().pid()
    deadline = guarded.run.write_lease(1_000)
    wait_for(lambda: has_seen(guarded, deadline))
    path = guarded.run.root / "lease.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert guarded.ended() == exit_codes.LEASE_ENDED
    assert not is_alive(bot)
    assert boottime_ms() >= deadline
    assert guarded.log()[-1]["reason"] == "lease ended"


def test_a_renewal_keeps_the_bot_alive(guard: Start) -> None:
    guarded = guard(settings=NOTE_WHAT_IS_SEEN)
    guarded.run.write_lease(60_000)
    bot = guarded.start().pid()
    first = guarded.run.write_lease(2_000)
    wait_for(lambda: has_seen(guarded, first))
    renewed = guarded.run.write_lease(60_000)
    wait_for(lambda: boottime_ms() > first + 500)
    assert is_alive(bot)
    assert has_seen(guarded, renewed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_forwarded_to_the_group(guard: Start, number: signal.Signals) -> None:
    polite = """
signal.signal(signal.SIGTERM, lambda *_: (note('asked'), sys.exit(0)))
signal.signal(signal.SIGINT, lambda *_: (note('asked'), sys.exit(0)))
"""
    guarded = guard(polite + SLEEP)
    guarded.run.write_lease(60_000)
    bot = guarded.start().pid()
    guarded.send(number)
    assert guarded.ended() == exit_codes.STOPPED
    assert guarded.pid("asked") == bot


def test_a_bot_without_a_handler_counts_as_stopped(guard: Start) -> None:
    guarded = guard()
    guarded.run.write_lease(60_000)
    guarded.start().pid()
    guarded.send(signal.SIGTERM)
    assert guarded.ended() == exit_codes.STOPPED


def test_a_bot_that_does_not_stop_is_killed_after_its_grace(guard: Start) -> None:
    guarded = guard(STUBBORN)
    guarded.run.write_bot(stopGraceMs=200)
    guarded.run.write_lease(60_000)
    bot = guarded.start().pid()
    guarded.send(signal.SIGTERM)
    assert guarded.ended() == 128 + signal.SIGKILL
    assert not is_alive(bot)
    assert guarded.log()[-1]["reason"] == "stop grace over"


def test_the_lease_counts_also_while_stopping(guard: Start) -> None:
    guarded = guard(STUBBORN)
    guarded.run.write_bot(stopGraceMs=60_000)
    guarded.run.write_lease(60_000)
    bot = guarded.start().pid()
    guarded.send(signal.SIGTERM)
    guarded.run.write_lease(300)
    assert guarded.ended() == exit_codes.LEASE_ENDED
    assert not is_alive(bot)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(77)", 77),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 128 + 11),
        ("os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
        ("os.kill(os.getpid(), signal.SIGTERM)", 128 + 15),
    ],
)
def test_the_bot_s_own_code_is_passed_on(guard: Start, end: str, code: int) -> None:
    guarded = guard(end)
    guarded.run.write_lease(60_000)
    assert guarded.start().ended() == code
    first, last = guarded.log()
    assert first["msg"] == "starting the bot"
    assert (last["msg"], last["exitCode"]) == ("bot ended", code)


def test_a_stopped_bot_is_killed_all_the_same(guard: Start) -> None:
    """SIGSTOP holds a process, but not a SIGKILL."""
    guarded = guard()
    guarded.run.write_lease(60_000)
    bot = guarded.start().pid()
    os.kill(bot, signal.SIGSTOP)
    guarded.run.write_lease(100)
    assert guarded.ended() == exit_codes.LEASE_ENDED
    assert not is_alive(bot)


def test_nobody_reading_the_log_delays_nothing(guard: Start) -> None:
    chatty = "\nos.set_blocking(1, False)\nos.write(1, b'x' * (1 << 20))"
    guarded = guard(chatty + SLEEP)
    guarded.run.write_lease(60_000)
    bot = guarded.start().pid()
    guarded.run.write_lease(100)
    assert guarded.ended() == exit_codes.LEASE_ENDED
    assert not is_alive(bot)


def test_the_bot_gets_a_clean_start(guard: Start) -> None:
    """Signals unblocked, one thread of linear algebra, its own group, no PYTHON* variables."""
    script = """
assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
assert os.getpgrp() == os.getpid()
assert sys.flags.ignore_environment and sys.flags.no_user_site
sys.exit(0)
"""
    guarded = guard(script)
    guarded.run.write_lease(60_000)
    assert guarded.start().ended() == 0


def test_it_runs_by_path_also_isolated(tmp_path: Path) -> None:
    """As in the image, where nothing but the environment variable is given."""
    run = RunDirectory(tmp_path)
    run.write_bot(parameters={"unknown": 1})
    run.write_lease(60_000)
    done = subprocess.run(
        [sys.executable, "-I", str(HOME / "supervisor.py")],
        env={"TRADEFLEET_RUN_DIR": str(tmp_path)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    assert done.returncode == exit_codes.BAD_CONFIGURATION
    assert done.stderr == ""
