"""Exit 0 when status.json is fresh, 1 otherwise. Runs often, so it loads next to nothing."""

import os
import sys
import time

FRESH_S = 15.0


def is_fresh(run_dir: str, now_s: float) -> bool:
    """Whether the bot has written its status within the last 15 s (a clock step counts as old)."""
    try:
        written_s = os.stat(os.path.join(run_dir, "out", "status.json")).st_mtime
    except OSError:
        return False
    return abs(now_s - written_s) < FRESH_S


if __name__ == "__main__":
    run_dir = os.environ.get("TRADEFLEET_RUN_DIR", "/run/tradefleet")
    sys.exit(0 if is_fresh(run_dir, time.time()) else 1)
