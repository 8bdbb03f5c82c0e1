"""Python's own test modules (Debian's libpython3.11-testsuite), each test compared with itself outside.

What a module does natively is kept in build/python-native.json, by interpreter and kernel: it takes
minutes, and is the machine's business.
"""
import fnmatch
import json
import os
import platform
import subprocess
import re
import shutil
import threading

import autosave
from outcome import Outcome, run_limited
from paths import HERE

MODULES = ["test_os", "test_subprocess", "test_signal", "test_threading", "test_posix", "test_select",
           "test_epoll", "test_mmap", "test_fcntl", "test_pty", "test_tempfile", "test_shutil",
           "test_pathlib", "test_asyncio", "test_socket", "test_httpservers", "test_ssl", "test_ftplib"]
# What waits for ever on some hosts.
LEFT_OUT = {"test_socket": ["*VSOCK*"]}
LIMIT_SECONDS = 600
PYTHON = "/usr/bin/python3"
lock = threading.Lock()


def jobs(build, options):
    for module in MODULES:
        name = "python." + module.removeprefix("test_")
        yield name, lambda m=module: run(m, build, options)


def installed():
    return os.path.exists("/usr/lib/python3.11/test/test_os.py") and os.path.exists(PYTHON)


def run(module, build, options):
    if not fnmatch.fnmatchcase(module, options.filter):
        return Outcome()
    if not installed() or not (build / "usk").exists():
        return Outcome(skipped=1)
    # A module that is listed as a whole is not run: it may take its whole time limit.
    if any(pattern == module + ".*" for pattern, _ in expectations()):
        return Outcome(skipped=1)
    outside = native_results(module, build)
    done, inside = results_of([build / "usk", "run", *autosave.flags(), "--"], module, build)
    return compare(module, outside, inside, done)


def native_results(module, build):
    path = build.parent / "python-native.json"
    version = subprocess.run([PYTHON, "-V"], capture_output=True, text=True).stdout.strip()
    key = f"{version} {platform.release()} uid {os.getuid()} {module}"
    with lock:
        cache = json.loads(path.read_text()) if path.exists() else {}
    if key not in cache:
        _, results = results_of([], module, build)
        with lock:
            cache = json.loads(path.read_text()) if path.exists() else {}
            cache[key] = results
            path.write_text(json.dumps(cache, indent=0, sort_keys=True))
    return cache[key]


def results_of(prefix, module, build):
    """Test -> ok, FAIL, ERROR or skipped, as the module's verbose output says."""
    directory = build / autosave.folder("programs") / f"python.{module}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    done = run_limited([*prefix, "env", "-i", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8",
                        f"HOME={directory}", PYTHON, "-m", "test", "-v",
                        *(word for one in LEFT_OUT.get(module, []) for word in ("-i", one)), module],
                       LIMIT_SECONDS, cwd=directory)
    results = {}
    text = done.output + done.errors
    # "test_x (test.test_os.FileTests.test_x) ... ok"; what a test prints may stand in between.
    for match in re.finditer(r"^(\w+) \(([\w.]+)\)(?:\n[^\n]*?)? \.\.\. (.*?)(?=^\w+ \([\w.]+\)|^=====|^-----)",
                             text, re.M | re.S):
        case = match[2] if match[2].endswith("." + match[1]) else f"{match[2]}.{match[1]}"
        verdicts = re.findall(r"\b(ok|FAIL|ERROR|skipped)\b", match[3])
        results[case.removeprefix("test.")] = verdicts[-1] if verdicts else "unknown"
    return done, results


def expectations():
    known = []
    for line in (HERE / "programs/python_expectations.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            known.append(tuple(line.split(None, 1)))
    return known


def compare(module, outside, inside, done):
    outcome = Outcome(seconds=done.seconds)
    known = expectations()
    for case, want in sorted(outside.items()):
        if want != "ok":
            continue  # Not ours to pass.
        reason = next((why for glob, why in known if fnmatch.fnmatchcase(case, glob)), None)
        got = inside.get(case, "missing")
        if got == "ok":
            outcome.passed += 1
            # A listed glob may cover some that pass, so passing is no error here.
        elif reason:
            outcome.skipped += 1
        else:
            outcome.failed += 1
            outcome.notes.append(f"FAIL {case}: {got}")
    if not outside:
        outcome.failed += 1
        outcome.notes.append(f"{module} gave no results natively")
    if outcome.failed:
        outcome.notes += done.errors.splitlines()[-10:]
    return outcome
