"""`./dev bench --checkpoint`: a python3 process with 100 MB of objects in 20 graphs and 8 threads is saved,
restored and copied while it runs. How long it stands still, how long the rest takes."""
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time

from sides import USK

# Tells when it was kept from running for longer than its threads keep each other.
GUEST = """
import threading, time
graphs = [[{"n": i, "text": "x" * 40 + str(i)} for i in range(15_500)] for _ in range(20)]
def work(k):
    n = k
    while True:
        n += 1
        graphs[n % 20][n * 7919 % 15_500]["n"] += 1
        if n % 50 == 0: time.sleep(0.005)
for k in range(8): threading.Thread(target=work, args=(k,), daemon=True).start()
print("ready", flush=True)
last = time.time()
while True:
    time.sleep(0.0005)
    now = time.time()
    if now - last > 0.003: print("gap", last, now, flush=True)
    last = now
"""
# A copy is made of an image in memory: what fork pauses for, the goal of which is 5 ms, is the same.
# A restore is measured twice: where the original has ended, and where it runs on beside.
GOALS = {"checkpoint-pause": 20, "checkpoint-written": 300, "restore-next-step": 10, "restore-beside": None,
         "fork-next-step": 10}
GAP = re.compile(r"gap ([\d.]+) ([\d.]+)")


class Guest:
    """A sandbox whose output is read."""

    def __init__(self, *arguments):
        self.begin = time.time()
        self.process = subprocess.Popen([USK, *arguments], stdout=subprocess.PIPE, text=True,
                                        stdin=subprocess.DEVNULL)

    def next_step(self):
        """Milliseconds from the command to the first step of a copy."""
        for line in self.process.stdout:
            # What it was in the middle of telling when it was saved is another's.
            if (found := GAP.match(line)) and float(found[2]) > self.begin:
                return (float(found[2]) - self.begin) * 1000
        return None

    def end(self):
        self.process.kill()
        self.process.wait()


def usk(*arguments):
    return subprocess.run([USK, *arguments], check=True, capture_output=True, text=True, timeout=60)


def save(image, times):
    shutil.rmtree(image, ignore_errors=True)
    begin = time.time()
    usk("checkpoint", "bench-original", "-o", image, "--leave-running")
    times["checkpoint-written"].append((time.time() - begin) * 1000)
    facts = json.loads((pathlib.Path(image) / "manifest").read_text())["facts"]
    times["checkpoint-pause"].append(facts["paused_us"] / 1000)


def next_step(*arguments):
    copy = Guest(*arguments)
    took = copy.next_step()
    copy.end()
    return took


def measure(turns):
    times = {name: [] for name in GOALS}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        image = f"{scratch}/image"
        original = Guest("run", "--name", "bench-original", "--", "python3", "-c", GUEST)
        original.process.stdout.readline()
        for _ in range(turns):
            save(image, times)
            times["restore-beside"].append(next_step("restore", image))
            times["fork-next-step"].append(next_step("fork", "bench-original"))
        size = sum(p.stat().st_size for p in pathlib.Path(image).iterdir())
        usk("kill", "bench-original")
        original.process.wait()
        time.sleep(1)  # The host takes its memory back.
        for _ in range(turns):
            times["restore-next-step"].append(next_step("restore", image))
    return times, size


def main(turns, output):
    times, size = measure(turns)
    print(f"{'':20} {'median':>10} {'least':>10} {'goal':>6}   ms")
    rows = {}
    for name, values in times.items():
        rows[name] = {"median_ms": statistics.median(values), "least_ms": min(values), "goal_ms": GOALS[name]}
        print(f"{name:20} {rows[name]['median_ms']:10.1f} {rows[name]['least_ms']:10.1f} {GOALS[name] or '':>6}")
    print(f"image: {size / 2**20:.0f} MiB")
    path = pathlib.Path(output)
    path = path.with_name(f"{path.stem}-checkpoint.json")
    path.write_text(json.dumps({"cpus": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0],
                                "turns": turns, "image_bytes": size, "rows": rows}, indent=1) + "\n",
                    encoding="utf-8")
    return 0
