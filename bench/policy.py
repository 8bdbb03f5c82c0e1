"""`./dev bench --policy`: what calls that name files cost more under a policy of a thousand rules.

Sandboxes without and with the policy are there at once and take turns of some milliseconds, each of them the
least of many rounds, which are short enough to be left alone by other work now and then. A second sandbox
without rules takes turns, too: what it seems to cost more than the first is the error of all this."""
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

import sides
from sides import ROOT

ROWS = ("open-close-root", "stat-root", "open-missing")
MOST_MORE = 300  # Nanoseconds, of an open.
STARTS = 4       # Sandboxes of each side for one turn of --turns: addresses differ from start to start.
ROUNDS = 60      # Of each such sandbox.


def rules():
    """Directories as profiles have them, and patterns that look for names anywhere."""
    lines = ["include_profile off", "sandbox/all:on", "allow/all+/***", "allow/create+!**"]
    lines += [f"allow/read,stat,exec+/usr/share/pack{i}/***" for i in range(896)]
    lines += [f"deny/read+/**/.secret{i}/***" for i in range(50)]
    lines += [f"deny/write+/home/*/.config/app{i}*" for i in range(50)]
    return "\n".join(lines) + "\n"


class Player:
    """A sandbox that measures a row for some milliseconds whenever it is told to."""

    def __init__(self, side, row):
        self.process = subprocess.Popen(
            [str(a) for a in (*side.prefix, ROOT / "build/release/bench/calls_bench", "--turns", row)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def turn(self):
        self.process.stdin.write(b".")
        return float(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(60)


def play(row, plain, guarded):
    """What is more with the policy, and in the second sandbox without it; and what it is without."""
    with Player(plain, row) as first, Player(guarded, row) as ruled, Player(plain, row) as second:
        taken = {first: [], ruled: [], second: []}
        for i in range(ROUNDS):
            for player in (first, ruled, second) if i % 2 else (second, ruled, first):
                taken[player].append(player.turn())
    # In most turns on a busy machine the processes of a sandbox wait for a processor.
    one, with_rules, two = (statistics.quantiles(taken[p], n=10)[0] for p in (first, ruled, second))
    return with_rules - (one + two) / 2, two - one, one


def measure(row, plain, guarded, starts):
    more, error, taken = zip(*(play(row, plain, guarded) for _ in range(starts)))
    quarters = statistics.quantiles(more, n=4)
    return {"row": row, "plain": round(statistics.median(taken), 1), "more": round(statistics.median(more), 1),
            "more_quartiles": [round(quarters[0], 1), round(quarters[2], 1)],
            "error": round(statistics.median(map(abs, error)), 1)}


def main(turns, platform, output):
    with tempfile.NamedTemporaryFile("w", suffix=".rules") as file:
        file.write(rules())
        file.flush()
        plain = sides.inside(platform)
        guarded = sides.Side("policy", [*plain.prefix[:-1], "--policy", file.name, "--"])
        rows = []
        print(f"{'row':16} {'without':>10} {'more':>9} {'half of starts':>17} {'error':>8}")
        for name in ROWS:
            row = measure(name, plain, guarded, STARTS * turns)
            rows.append(row)
            low, high = row["more_quartiles"]
            print(f"{name:16} {row['plain']:7.1f} ns {row['more']:6.1f} ns {low:6.1f} to {high:6.1f} "
                  f"{row['error']:5.1f} ns", flush=True)
    print(f"goal: at most {MOST_MORE} ns more")
    pathlib.Path(output).write_text(json.dumps(
        {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "unit": "ns", "rules": 1000,
         "turns": turns, "goal": MOST_MORE, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0
