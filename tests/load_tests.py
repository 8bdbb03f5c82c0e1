"""Checkpoints at random moments under mixed load (tests/load/mixed.py): nothing is lost or comes twice.

USK_LOAD_SECONDS=600 ./dev test load   that long inside, instead of a few seconds; USK_LOAD_SEED chooses
the moments
"""
import os
import random
import shutil
import subprocess
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


def form(chance, whole):
    """How an image is written: flags, and whether it refers to the last one that does not."""
    way = chance.choice(["plain", "plain", "compressed", "referring", "both"])
    refers = whole is not None and way in ("referring", "both")
    return ["--compress", "zstd"] * (way in ("compressed", "both")) + ["--incremental-from", whole] * refers, refers


def run(host, seed, platforms, command=("python3", str(HERE / "load/mixed.py"), str(SECONDS)), flags=(), longest=0.7):
    """From image to image, each time on one of these platforms. What the sandbox has printed."""
    chance = random.Random(f"{SEED} {seed}")
    end = time.monotonic() + LIMIT_SECONDS
    output, images, whole = "", 0, None
    with tempfile.TemporaryDirectory() as scratch:
        process = host.start("run", "--name", "box", "--platform", platforms[0], "--ro", HERE / "load", *flags,
                             "--", *command)
        while True:
            time.sleep(chance.uniform(0.05, longest))
            image = f"{scratch}/{images}"
            how, refers = form(chance, whole)
            saved = host.run("checkpoint", "box", "-o", image, *how, limit=LIMIT_SECONDS)
            part, errors = process.communicate(timeout=LIMIT_SECONDS)
            output += part
            assert time.monotonic() < end, "out of time"
            if saved.returncode != 0:  # It has ended before.
                assert process.returncode == 0, (process.returncode, errors, saved.stderr, output[-500:])
                return output, images
            assert process.returncode == 137, (process.returncode, errors)
            # A long run would fill the disk.
            for name in os.listdir(scratch):
                if f"{scratch}/{name}" not in (image, whole if refers else None):
                    shutil.rmtree(f"{scratch}/{name}", ignore_errors=True)
            whole = whole if refers else image
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


@case
def the_clock_does_not_go_back(host):
    """Of a program that does nothing but read it: some images find it in the midst of that."""
    if not shutil.which("gcc"):
        return
    with tempfile.TemporaryDirectory() as made:
        subprocess.run(["gcc", "-O2", "-o", f"{made}/clock", HERE / "load/clock.c"], check=True)
        output, images = run(host, 2, ["trap"], (f"{made}/clock", "3"), ("--ro", made), longest=0.1)
    assert output == "whole\n" and images >= 5, (output, images)
