"""`./dev bench --policy`: what calls that name files cost more under a policy of a thousand rules."""
import json
import os
import pathlib
import tempfile

import sides
from sides import ROOT

ROWS = ("stat-root", "open-close-root", "open-missing")
MOST_MORE = 300  # Nanoseconds, of an open.


def rules():
    """Directories as profiles have them, and patterns that look for names anywhere."""
    lines = ["include_profile off", "sandbox/all:on", "allow/all+/***", "allow/create+!**"]
    lines += [f"allow/read,stat,exec+/usr/share/pack{i}/***" for i in range(896)]
    lines += [f"deny/read+/**/.secret{i}/***" for i in range(50)]
    lines += [f"deny/write+/home/*/.config/app{i}*" for i in range(50)]
    return "\n".join(lines) + "\n"


def measure(side):
    values = {}
    for row in ROWS:
        out = side.run([ROOT / "build/release/bench/calls_bench", row])
        for line in (out or "").splitlines():
            name, value = line.split()
            values[name] = float(value)
    return values


def main(turns, platform, output):
    with tempfile.NamedTemporaryFile("w", suffix=".rules") as file:
        file.write(rules())
        file.flush()
        plain = sides.inside(platform)
        guarded = sides.Side("policy", [*plain.prefix[:-1], "--policy", file.name, "--"])
        taken = [(measure(plain), measure(guarded)) for _ in range(turns)]
    rows = []
    print(f"{'row':16} {'without':>10} {'with':>10} {'more':>10}")
    for row in ROWS:
        without, with_rules = (min(turn[i][row] for turn in taken) for i in (0, 1))
        rows.append({"row": row, "plain": without, "policy": with_rules, "more": with_rules - without})
        print(f"{row:16} {without:7.1f} ns {with_rules:7.1f} ns {with_rules - without:7.1f} ns")
    print(f"goal: at most {MOST_MORE} ns more")
    pathlib.Path(output).write_text(json.dumps(
        {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "unit": "ns", "rules": 1000,
         "turns": turns, "goal": MOST_MORE, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0
