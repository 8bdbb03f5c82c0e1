"""--autosave=PLAN: programs run in sandboxes that are saved, ended and restored all the time.

Groups that compare programs outside and inside honour it: guest, programs, python, tools, kselftest.
"""
import contextlib
import re
import threading

PLAN = None  # What stands behind --autosave.
SLOWER = 10  # Each save takes its time: so much longer may a program run.
here = threading.local()  # For the job of one thread.

# Files of the host have the host's time, and for programs time stands still while they are saved.
FROM_THE_FUTURE = re.compile(r"(?m)^(?:make: Warning: File .* in the future|tar: .* in the future|"
                             r"make: warning:  Clock skew detected.*)\n")


@contextlib.contextmanager
def planned(plan, seconds):
    """What this thread runs, runs under that plan, and no program longer than that."""
    here.plan, here.seconds = plan, seconds
    try:
        yield
    finally:
        here.plan = None


def heir():
    """For threads that do a part of this one's job: what they begin with."""
    plan, seconds = getattr(here, "plan", None), getattr(here, "seconds", None)

    def begin():
        here.plan, here.seconds = plan, seconds
    return begin


def current():
    return getattr(here, "plan", None) or PLAN


def flags(plan=None):
    """Of `usk run`."""
    plan = plan or current()
    return [f"--test-autosave={plan}"] if plan else []


def limit(seconds):
    if getattr(here, "plan", None):
        return here.seconds
    return seconds * SLOWER if PLAN else seconds


def folder(name):
    """Where programs run: another one than when the same are not saved."""
    return name + "-saved" if current() else name


def messages(text):
    """Without those that are not about what the program does."""
    return FROM_THE_FUTURE.sub("", text) if current() else text
