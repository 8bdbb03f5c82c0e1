"""--autosave=PLAN: programs run in sandboxes that are saved, ended and restored all the time.

Groups that compare programs outside and inside honour it: guest, programs, python, tools, kselftest.
"""

PLAN = None  # What stands behind --autosave.
SLOWER = 10  # Each save takes its time: so much longer may a program run.


def flags(plan=None):
    """Of `usk run`."""
    plan = plan or PLAN
    return [f"--test-autosave={plan}"] if plan else []


def limit(seconds):
    return seconds * SLOWER if PLAN else seconds
