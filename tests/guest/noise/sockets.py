"""Random calls on sockets of the internet, AF_UNIX and netlink, for a sandbox: SEED SECONDS.

Never outside: it sets up and takes down devices.
"""
import ctypes
import os
import random
import signal
import struct
import sys
import time

libc = ctypes.CDLL(None)
buffer = ctypes.create_string_buffer(70000)
memory = ctypes.addressof(buffer)
fds = []
PORTS = [0, 0, 8000, 8001, 8002, 65535, 1]
FILES = ("tcp", "udp", "tcp6", "udp6", "unix", "netlink", "sockstat", "snmp", "dev", "if_inet6")


def put(data):
    ctypes.memmove(memory, data, len(data))
    return ctypes.c_void_p(memory)


def fd():
    return random.choice(fds) if fds else -1


def keep(new):
    if new >= 0:
        fds.append(new)
    if len(fds) > 60:
        libc.close(fds.pop(random.randrange(len(fds))))


def number():
    return random.choice([0, 1, -1, 2**31 - 1, -2**31, 4096, 65536, random.randrange(2**31)])


def make():
    kind = random.choice([1, 1, 2, 2, 3, 5]) | 0x800
    keep(libc.socket(random.choice([2, 2, 2, 10, 10, 16, 16, 1]), kind,
                     random.choice([0, 0, 0, 0, 4, 6, 17, 15, random.randrange(300)])))


def drop():
    if fds and random.random() < 0.03:
        libc.close(fds.pop(random.randrange(len(fds))))


def set_option():
    libc.setsockopt(fd(), random.choice([0, 1, 1, 6, 17, 41, 270, random.randrange(300)]),
                    random.randrange(90), put(struct.pack("i", number()) + os.urandom(60)),
                    random.choice([0, 1, 2, 4, 4, 4, 8, 16, 64, random.randrange(60000)]))


def get_option():
    size = ctypes.c_int(random.choice([0, 1, 4, 8, 16, 128, 1000, -1]))
    libc.getsockopt(fd(), random.choice([0, 1, 6, 17, 41, 270]), random.randrange(90),
                    ctypes.c_void_p(memory), ctypes.byref(size))


def name():
    family = random.choice([2, 2, 10, 16, 0, 1])
    port = struct.pack(">H", random.choice(PORTS))
    out = struct.pack("<H", family) + port
    if family == 10:
        out += bytes(4) + random.choice([bytes(15) + b"\1", bytes(16), os.urandom(16),
                                         bytes(10) + b"\xff\xff\x7f\0\0\1"])
    elif family == 16:
        out = struct.pack("<HHII", 16, 0, random.choice([0, 0, random.randrange(2**32)]), 0)
    else:
        out += random.choice([b"\x7f\0\0\1", bytes(4), os.urandom(4)])
    call = random.choice([libc.bind, libc.connect, libc.connect])
    call(fd(), put(out.ljust(140, b"\0")), random.choice([16, 16, 28, 28, 2, 12, 24, 139]))


def serve():
    libc.listen(fd(), random.choice([0, 1, 5, -1, 2**31 - 1]))
    keep(libc.accept4(fd(), None, None, 0x800))
    if random.random() < 0.3:
        libc.shutdown(fd(), random.randrange(-1, 4))


def talk():
    size = random.choice([0, 1, 16, 100, 5000, 66000])
    flags = random.choice([0, 0, 0, 1, 2, 3, 0x20, 0x100, 0x2000, 0x8000, random.randrange(2**31)])
    libc.send(fd(), put(os.urandom(32)), size, flags | 0x40)
    libc.recv(fd(), ctypes.c_void_p(memory), size, flags | 0x40)


def ask():
    attributes = b"".join(struct.pack("HH", random.choice([4, 5, 8, 12, 20, random.randrange(70)]),
                                      random.randrange(60)) + os.urandom(random.choice([0, 4, 8, 16]))
                          for _ in range(random.randrange(4)))
    link = struct.pack("BBHiII", random.choice([0, 2, 10]), random.randrange(256), 0,
                       random.choice([0, 1, 2, -1]), random.choice([0, 1]), random.choice([0, 1]))
    sockets = struct.pack("BBBBI", random.choice([1, 2, 10, 99]), random.choice([6, 17, 0, 255]),
                          random.randrange(256), 0, 2**32 - 1) + os.urandom(48)
    body = random.choice([os.urandom(random.randrange(80)), link + attributes, sockets])
    kind = random.choice([16, 18, 19, 20, 21, 22, 24, 26, 30, 34, 38, random.randrange(120)])
    flags = random.choice([1, 5, 0x301, 0x305, 0x601, random.randrange(65536)])
    length = random.choice([16 + len(body)] * 4 + [random.randrange(200)])
    message = struct.pack("IHHII", length, kind, flags, 7, 0) + body
    message *= random.choice([1, 1, 2])
    libc.send(fd(), put(message), len(message), 0x40)


def device():
    put(b"lo\0" + os.urandom(37))
    libc.ioctl(fd(), random.choice([0x541b, 0x5411, 0x8905, *range(0x8910, 0x8975)]),
               ctypes.c_void_p(random.choice([memory, 0, 8])))


def look():
    if random.random() < 0.01:
        for file in FILES:
            with open("/proc/net/" + file, "rb") as f:
                f.read()


def main():
    random.seed(int(sys.argv[1]))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    end, calls = time.monotonic() + float(sys.argv[2]), 0
    ways = [make, drop, set_option, get_option, name, name, serve, talk, talk, ask, device, look]
    while time.monotonic() < end:
        random.choice(ways)()
        calls += 1
    print("lived" if calls > 1000 else f"only {calls} calls")


main()
