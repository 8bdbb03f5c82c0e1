"""Real programs: tests/programs/FAMILY/NAME.{sh,py}, run outside and inside with output compared.

A case runs in an empty directory under build/, with nothing but a few variables in its environment.
A line `# needs: COMMAND...` names the commands without which it is skipped; `# limit: SECONDS`
changes its time limit; `# if: SHELL COMMAND` skips it where the command fails outside. expectations.txt lists known differences, `FAMILY.NAME REASON`.
"""
import fnmatch
import re
import shutil
import subprocess

import abuse_tests
import autosave
import interactive_tests
import python_tests
import tmux_tests
from outcome import OUT_OF_TIME, Outcome, run_limited
from paths import HERE

LIMIT_SECONDS = 60
CLEAN_ENVIRONMENT = ["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8",
                     "TERM=dumb"]
INTERPRETERS = {".sh": ["bash"], ".py": ["python3"]}


def inside(build, *flags):
    """The command line up to the program that runs a program in the sandbox."""
    return [build / "usk", "run", *autosave.flags(), *flags, "--"]


def jobs(build, options):
    for script in sorted((HERE / "programs").glob("*/*.*")):
        if script.suffix in INTERPRETERS:
            name = f"{script.parent.name}.{script.stem}"
            yield "programs", name, lambda s=script, n=name: run(s, n, build, options)
    yield from (("programs", *job) for job in interactive_tests.jobs(build, options))
    yield from (("programs", *job) for job in tmux_tests.jobs(build, options))
    yield from (("python", *job) for job in python_tests.jobs(build, options))
    yield from (("abuse", *job) for job in abuse_tests.jobs(build, options))


def expectations(path=HERE / "programs/expectations.txt"):
    known = []
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, reason = line.split(None, 1)
            known.append((name, reason))
    return known


def known_reason(name, known):
    return next((reason for glob, reason in known if fnmatch.fnmatchcase(name, glob)), None)


def header(text, key):
    match = re.search(rf"^# {key}: (.+)$", text, re.M)
    return match[1].split() if match else []


def run(script, name, build, options):
    if not fnmatch.fnmatchcase(name, options.filter):
        return Outcome()
    text = script.read_text()
    missing = [command for command in header(text, "needs") if not shutil.which(command)]
    if missing:
        return Outcome(skipped=1, notes=[f"skip {name}: no {' '.join(missing)} here"])
    condition = re.search(r"^# if: (.+)$", text, re.M)
    if condition and subprocess.run(["sh", "-c", condition[1]], check=False).returncode:
        return Outcome(skipped=1, notes=[f"skip {name}: not {condition[1]}"])
    if not (build / "usk").exists():
        return Outcome(skipped=1)
    limit = float((header(text, "limit") or [LIMIT_SECONDS])[0])
    outcome = Outcome()
    results = []
    for prefix in ([], inside(build)):
        # The same path both times, for what prints it.
        directory = build / autosave.folder("programs") / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        shutil.copy(script, directory / f"case{script.suffix}")
        command = [*prefix, *CLEAN_ENVIRONMENT, f"HOME={directory}", *INTERPRETERS[script.suffix],
                   f"case{script.suffix}"]
        results.append(run_limited(command, limit, cwd=directory))
        outcome.seconds += results[-1].seconds
    judge(outcome, name, *results)
    return outcome


def without_ids(text):
    """Process numbers in messages differ from run to run."""
    return re.sub(r"\b\d{2,}\b", "N", re.sub(r"(?m)(line \d+:) +", r"\1 ", text))


def judge(outcome, name, outside, inside_result):
    differences = []
    for what in ("code", "output", "errors"):
        want, got = getattr(outside, what), getattr(inside_result, what)
        if what == "errors":
            want, got = without_ids(want), without_ids(autosave.messages(got))
        if want != got:
            differences += [f"{what} outside:", *str(want).splitlines()[-15:],
                            f"{what} inside:", *str(got).splitlines()[-15:]]
    if outside.code == OUT_OF_TIME:
        differences.insert(0, "out of time even outside")
    reason = known_reason(name, expectations())
    if differences and reason:
        outcome.skipped = 1
    elif differences:
        outcome.failed = 1
        outcome.notes += [f"FAIL {name}", *("  " + line for line in differences)]
    elif reason:
        outcome.failed = 1
        outcome.notes.append(f"PASS {name}, though expectations.txt says: {reason}")
    else:
        outcome.passed = 1
