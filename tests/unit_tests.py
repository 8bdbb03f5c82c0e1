"""The unit tests: one GoogleTest program of all *_test.cc under src/."""
import re

from outcome import Outcome, run_limited

LIMIT_SECONDS = 300


def jobs(build, options):
    if (build / "unit_tests").exists():
        yield "unit", lambda: run(build, options)


def run(build, options):
    done = run_limited([build / "unit_tests", f"--gtest_filter={options.filter}",
                        "--gtest_color=no"], LIMIT_SECONDS)
    outcome = Outcome(seconds=done.seconds)
    outcome.passed = len(re.findall(r"^\[       OK \]", done.output, re.M))
    outcome.skipped = len(re.findall(r"^\[  SKIPPED \] .*\(\d+ ms\)$", done.output, re.M))
    bad = set(re.findall(r"^\[  FAILED  \] (\S+\.\S+?)[, ]", done.output, re.M))
    outcome.failed = len(bad)
    if done.code != 0 and not bad:
        outcome.failed = 1
        outcome.notes.append(f"the program ended with code {done.code}")
        outcome.notes += (done.output + done.errors).splitlines()[-20:]
    keep = options.verbose or done.code != 0
    if keep and bad:
        outcome.notes += [line for line in done.output.splitlines()
                          if not line.startswith(("[       OK", "[ RUN", "[-----"))]
    return outcome
