"""Checkpoints at random moments under mixed load (tests/load/mixed.py): nothing is lost or comes twice.

USK_LOAD_SECONDS=600 ./dev test load   that long inside, instead of a few seconds; USK_LOAD_SEED chooses
the moments
"""
import os
import random
import tempfile
import time

import hosts
from paths import HERE

SECONDS = float(os.environ.get("USK_LOAD_SECONDS", "4"))
SEED = os.environ.get("USK_LOAD_SEED", "1")
# With its share of a busy machine, and with restores.
LIMIT_SECONDS = 60 + SECONDS * 10
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    return hosts.case_jobs("load", CASES, build, options)


def run(host, seed, platforms):
    """From image to image, each time on one of these platforms. What the sandbox has printed."""
    chance = random.Random(f"{SEED} {seed}")
    end = time.monotonic() + LIMIT_SECONDS
    output, images = "", 0
    with tempfile.TemporaryDirectory() as scratch:
        process = host.start("run", "--name", "box", "--platform", platforms[0], "--ro", HERE / "load",
                             "--", "python3", str(HERE / "load/mixed.py"), str(SECONDS))
        while True:
            time.sleep(chance.uniform(0.05, 0.7))
            image = f"{scratch}/{images}"
            saved = host.run("checkpoint", "box", "-o", image)
            part, errors = process.communicate(timeout=LIMIT_SECONDS)
            output += part
            assert time.monotonic() < end, "out of time"
            if saved.returncode != 0:  # It has ended before.
                assert process.returncode == 0, (process.returncode, errors, saved.stderr, output[-500:])
                return output, images
            assert process.returncode == 137, (process.returncode, errors)
            images += 1
            process = host.start("restore", image, "--name", "box", "--platform", chance.choice(platforms))
            host.until(lambda: process.poll() is not None or any(s["name"] == "box" for s in host.list()))


def check(output, images):
    lines = output.splitlines()
    assert lines and lines[-1] == "whole", lines[-5:]
    assert lines[:-1] == [str(i) for i in range(len(lines) - 1)], "lines were lost, or came twice"
    assert images >= 2, images


@case
def nothing_is_lost(host):
    check(*run(host, 0, ["trap"]))


@case
def nothing_is_lost_between_platforms(host):
    check(*run(host, 1, ["trap", "ptrace"]))
