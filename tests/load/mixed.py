"""Mixed work for so many seconds of the machine it believes to be on, each part of which knows what must come out.

Prints a numbered line now and then, and at the end "whole", or what was lost.
"""
import hashlib
import multiprocessing
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import zlib

END = time.monotonic() + float(sys.argv[1])


def going():
    return time.monotonic() < END


def check(holds, *what):
    if not holds:
        raise AssertionError(what)


def block(number):
    return bytes(random.Random(number).randbytes(number * 37 % 3000 + 1))


def read_exactly(fd, size):
    parts = b""
    while len(parts) < size:
        part = os.read(fd, size - len(parts))
        check(part, "a pipe ended early")
        parts += part
    return parts


def pipes():
    """Numbered blocks with checksums to a child, each of which it acknowledges."""
    down, to_child = os.pipe()
    to_parent, up = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(to_child)
        number = 0
        while header := os.read(down, 1):
            header += read_exactly(down, 11)
            n, size, crc = (int.from_bytes(header[i:i + 4], "little") for i in (0, 4, 8))
            check(n == number and zlib.crc32(read_exactly(down, size)) == crc, "block", n, number)
            os.write(up, n.to_bytes(4, "little"))
            number += 1
        os._exit(0)
    number = 0
    while going():
        data = block(number)
        header = b"".join(v.to_bytes(4, "little") for v in (number, len(data), zlib.crc32(data)))
        os.write(to_child, header + data)
        check(int.from_bytes(read_exactly(to_parent, 4), "little") == number, "acknowledgement")
        number += 1
    os.close(down)
    os.close(to_child)
    check(os.waitpid(child, 0)[1] == 0, "the child of the pipes")


def signals():
    """Real-time signals with numbers come in order, each once."""
    wanted = {signal.SIGRTMIN}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    me = os.getpid()
    sent = received = 0
    while going():
        for _ in range(sent % 7 + 1):
            os.kill(me, signal.SIGRTMIN)
            sent += 1
        while received < sent:
            check(signal.sigtimedwait(wanted, 5), "a signal was lost", sent, received)
            received += 1
        check(signal.sigtimedwait(wanted, 0) is None, "a signal came twice")


def timers():
    """An interval timer does not run ahead; sleeps are not cut short by anything but its signal."""
    ticks = []
    signal.signal(signal.SIGALRM, lambda *_: ticks.append(time.monotonic()))
    begin = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    while going():
        before = time.monotonic()
        time.sleep(0.013)
        check(time.monotonic() - before >= 0.0129, "a sleep was too short")
        check(len(ticks) <= (time.monotonic() - begin) / 0.02 + 1, "too many ticks")
    check(ticks, "ticks")  # In no order: a handler may come within another one's.


def threads():
    """Hand-overs by a condition; a poll over pipes."""
    turn = [0]
    condition = threading.Condition()

    def play(own):
        while going():
            with condition:
                while turn[0] % 3 != own and going():
                    condition.wait(0.2)
                if turn[0] % 3 == own:
                    turn[0] += 1
                condition.notify_all()

    players = [threading.Thread(target=play, args=(i,)) for i in range(3)]
    for p in players:
        p.start()
    r, w = os.pipe()
    poll = select.epoll()
    poll.register(r, select.EPOLLIN)
    count = 0
    while going():
        os.write(w, b"x")
        check(poll.poll(5), "nothing to be read")
        check(os.read(r, 2) == b"x", "read")
        count += 1
    for p in players:
        p.join()
    check(turn[0] > 2, "turns", turn[0])


def digest(number):
    return hashlib.sha256(block(number) * 50).hexdigest()


def pool():
    """What processes of a pool compute is what comes out here."""
    with multiprocessing.Pool(2) as workers:
        number = 0
        while going():
            numbers = range(number, number + 8)
            check(workers.map(digest, numbers) == [digest(n) for n in numbers], "digests", number)
            number += 8


MAKEFILE = """
all: sum
%.part: ; @seq $* 400 | sha256sum >$@; sleep 0.01
sum: $(addsuffix .part,1 2 3 4 5 6 7 8 9 10 11 12); @cat $^ | sha256sum >sum
"""


def builds():
    """make -j2, again and again: the same each time."""
    os.makedirs("/tmp/build", exist_ok=True)
    with open("/tmp/build/Makefile", "w", encoding="utf-8") as file:
        file.write(MAKEFILE)
    sums = set()
    while going():
        subprocess.run("rm -f sum *.part; exec make -s -j2", shell=True, cwd="/tmp/build", check=True)
        with open("/tmp/build/sum", encoding="utf-8") as file:
            sums.add(file.read())
    check(len(sums) == 1 and "" not in sums, "builds", sums)


def main():
    children = {}
    for part in (pipes, signals, timers, threads, pool, builds):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                part()
                code = 0
            except BaseException as error:  # pylint: disable=broad-except
                os.write(1, f"{part.__name__}: {error!r}\n".encode())
            os._exit(code)
        children[pid] = part.__name__
    number = 0
    while going():
        os.write(1, f"{number}\n".encode())
        number += 1
        time.sleep(0.02)
    broken = [name for pid, name in children.items() if os.waitpid(pid, 0)[1] != 0]
    print("broken: " + " ".join(broken) if broken else "whole", flush=True)


main()
