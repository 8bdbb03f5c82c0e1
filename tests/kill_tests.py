"""Random kills: any process of Usk, at any moment, under load. The sandbox must end by itself, with a
code that it may have, and leave no process behind (leftovers.py).

USK_KILLS=1000 ./dev test kills   that many instead of a few; the seed of each is its number
"""
import os
import random
import signal
import subprocess
import sys
import time

import hosts
from abuse_tests import descendants, finish
from paths import HERE

KILLS = int(os.environ.get("USK_KILLS", "60"))
LIMIT_SECONDS = 40
# For half a second: processes, threads, pipes, programs.
LOAD = """
import os, subprocess, sys, threading, time
end = time.monotonic() + 0.5
def churn():
    while time.monotonic() < end:
        if os.fork() == 0: os._exit(0)
        try: os.wait()
        except ChildProcessError: pass
def talk():
    r, w = os.pipe()
    while time.monotonic() < end:
        os.write(w, b'x'); os.read(r, 1)
threads = [threading.Thread(target=f) for f in (churn, talk, talk)]
for t in threads: t.start()
while time.monotonic() < end:
    try: subprocess.run(['/bin/true'])
    except OSError: pass
for t in threads: t.join()
"""
# Of the kernel process: killed; a bug of its own, as far as it can tell. Of the load: what it comes to
# when processes of it die, or its own first one does; a start that finds no stub.
CODES_OF_KERNEL = {signal.SIGKILL: {137}, signal.SIGSEGV: {125, 139}, signal.SIGTERM: {143}}
CODES_OF_LOAD = {0, 1, 125, 126, 127, 137, 139, 143}


def jobs(build, options):
    batch = 10
    cases = {f"{platform}_{first}": lambda host, p=platform, f=first: kill_some(host, p, f, batch)
             for platform in ("trap", "ptrace") for first in range(0, KILLS // 2, batch)}
    return hosts.case_jobs("kills", cases, build, options)


def kill_some(host, platform, first, count):
    for seed in range(first, first + count):
        problem = kill_one(host, platform, random.Random(f"{platform} {seed}"))
        if problem:
            return f"seed {seed}: {problem}"
    return None


def sandbox_processes(process):
    """The kernel process first; [] before it is there."""
    below = descendants(process.pid)
    return below if below else []


def kill_one(host, platform, choice):
    process = subprocess.Popen(
        [sys.executable, HERE / "leftovers.py", host.usk_path, "run", f"--platform={platform}", "--",
         "python3", "-c", LOAD], env=host.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True)
    delay = choice.random() ** 2 * 0.9
    time.sleep(delay)
    all_of_it = sandbox_processes(process)
    kernel = all_of_it[0] if all_of_it else None
    target = choice.choice([kernel, choice.choice(all_of_it)]) if all_of_it else None
    how = choice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
    if target:
        try:
            os.kill(target, how)
        except ProcessLookupError:
            target = None
    code, _, errors = finish(process, LIMIT_SECONDS)
    what = f"{how.name} after {delay:.3f} s to {'the kernel' if target == kernel else 'a stub'}"
    if code is None:
        return f"{what}: it hangs"
    if code == 99:
        return f"{what}: {errors.strip()[-300:]}"
    allowed = CODES_OF_LOAD | (CODES_OF_KERNEL[how] if target == kernel else set())
    return None if code in allowed else f"{what}: code {code}: {errors.strip()[-300:]}"
