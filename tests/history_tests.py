"""Histories: a random tracer and its random tracees, natively and inside, have the same history.

tests/guest/history says what a seed leads to; each stop, siginfo, event message, register that
matters and wait status is a line. A seed whose native history is not the same twice is left out.
"""
import fnmatch
import time

from outcome import Outcome, run_limited

SEEDS = 3000
ABANDONED = 400
LIMIT_SECONDS = 120
PLATFORMS = ["trap", "ptrace"]
SHOWN = 3  # Differences that are printed in full.


def jobs(build, options):
    for platform in PLATFORMS:
        yield f"history.{platform}", lambda p=platform: run(p, build, options)
        yield f"abandoned.{platform}", lambda p=platform: run_abandoned(p, build, options)


def histories(text):
    """The lines of each seed."""
    found = {}
    for line in text.splitlines():
        if line.startswith("seed "):
            lines = found[int(line.split()[1])] = []
        elif found:
            lines.append(line)
    return found


def recorded(command):
    done = run_limited(command, LIMIT_SECONDS)
    return histories(done.output), done.code


def difference(seed, native, inside):
    """The first line in which they differ, and what led to it."""
    for i, (a, b) in enumerate(zip(native + ["(end)"], inside + ["(end)"])):
        if a != b:
            return [f"seed {seed}:"] + [f"    {line}" for line in native[max(0, i - 5):i]] + [
                f"  outside {a}", f"  inside  {b}"]
    return [f"seed {seed}: one is longer"]


def run(platform, build, options):
    name = f"history.{platform}"
    program = build / "guest/history"
    if not fnmatch.fnmatchcase(name, options.filter):
        return Outcome()
    if not (build / "usk").exists() or not program.exists():
        return Outcome(skipped=1)
    begin = time.monotonic()
    native, _ = recorded([program, "1", str(SEEDS)])
    again, _ = recorded([program, "1", str(SEEDS)])
    inside, code = recorded([build / "usk", "run", f"--platform={platform}", "--ro",
                             program.parent, "--", program, "1", str(SEEDS)])
    stable = [seed for seed in native if again.get(seed) == native[seed]]
    outcome = Outcome()
    for seed in stable:
        if inside.get(seed) == native[seed]:
            outcome.passed += 1
            continue
        outcome.failed += 1
        if outcome.failed <= SHOWN:
            outcome.notes += difference(seed, native[seed], inside.get(seed, []))
    if code != 0 or len(stable) < SEEDS * 0.99:
        outcome.failed += 1
        outcome.notes.append(f"FAIL {name}: code {code}, {len(stable)} of {SEEDS} seeds are stable outside")
    outcome.seconds = time.monotonic() - begin
    return outcome


def run_abandoned(platform, build, options):
    """Tracers that end at each possible point leave nothing stuck."""
    name = f"abandoned.{platform}"
    program = build / "guest/history"
    if not fnmatch.fnmatchcase(name, options.filter):
        return Outcome()
    if not (build / "usk").exists() or not program.exists():
        return Outcome(skipped=1)
    begin = time.monotonic()
    outcome = Outcome()
    for where in ([], [build / "usk", "run", f"--platform={platform}", "--ro", program.parent, "--"]):
        done = run_limited([*where, program, "--abandon", "1", str(ABANDONED)], LIMIT_SECONDS)
        if done.code == 0 and done.output.endswith("0 stuck\n"):
            outcome.passed += 1
        else:
            outcome.failed += 1
            outcome.notes += done.output.splitlines()[-5:]
            outcome.notes.append(f"FAIL {name}: code {done.code} {'inside' if where else 'outside'}")
    outcome.seconds = time.monotonic() - begin
    return outcome
