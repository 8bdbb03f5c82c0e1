"""Ways around a policy's rules, as a program inside tries them: `attacks.py FAMILY` prints a line for each,
with what it came to. tests/policy_attack_tests.py has the rules; what is denied reads SECRET."""
import ctypes
import errno
import fcntl
import mmap
import os
import socket
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
CODE = b"\xb8\x2a\x00\x00\x00\xc3"  # Returns 42.


def call(function, *arguments):
    result = getattr(LIBC, function)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), function)
    return result


def attempt(name, function):
    try:
        result = function()
    except OSError as error:
        result = errno.errorcode[error.errno]
    print(name, repr(result), flush=True)  # On one line.


def read(path, flags=os.O_RDONLY, **more):
    fd = os.open(path, flags, **more)
    try:
        return os.read(fd, 99).decode()
    finally:
        os.close(fd)


def write(path, text):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o755)
    os.write(fd, text if isinstance(text, bytes) else text.encode())
    os.close(fd)


def handle(path):
    return os.open(path, os.O_PATH)


def link_of(fd):
    return f"/proc/self/fd/{fd}"


# Reading /box/closed/f, for which the rule is a directory's.
def open_by_handle():
    room = (ctypes.c_uint * 34)(128, 0)
    mount = ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, b"/box/closed/f", room, ctypes.byref(mount), 0)
    return os.read(call("open_by_handle_at", os.open("/box", os.O_RDONLY), room, 0), 99).decode()


def exchange():
    os.mkdir("/box/open/e")
    call("renameat2", AT_FDCWD, b"/box/closed", AT_FDCWD, b"/box/open/e", RENAME_EXCHANGE)
    return read("/box/open/e/f")


def link_and_read(*arguments, **more):
    os.link(*arguments, "/box/open/l", **more)
    return read("/box/open/l")


def link_empty():
    call("linkat", handle("/box/closed/f"), b"", AT_FDCWD, b"/box/open/l", AT_EMPTY_PATH)
    return read("/box/open/l")


def from_within():
    os.chdir("/box/closed")
    return read("/proc/self/cwd/f")


def child_within():
    child = os.fork()
    if child == 0:
        os.chdir("/box/closed")
        os.kill(os.getpid(), 19)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    try:
        return read(f"/proc/{child}/cwd/f")
    finally:
        os.kill(child, 9)
        os.wait()


def passed():
    here, there = socket.socketpair()
    socket.send_fds(here, [b"x"], [handle("/box/closed")])
    return read("f", dir_fd=socket.recv_fds(there, 9, 1)[1][0])


def stolen():
    taken = handle("/box/closed/f")
    mine = call("syscall", 438, call("syscall", 434, os.getpid(), 0), taken, 0)  # pidfd_getfd(pidfd_open())
    return read(link_of(mine))


def mapped_file():
    fd = os.open("/box/closed/fresh", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"SECRET")
    area = mmap.mmap(fd, 6)
    for each in os.listdir("/proc/self/map_files"):
        if os.readlink("/proc/self/map_files/" + each) == "/box/closed/fresh":
            return read("/proc/self/map_files/" + each)
    return area.size()


def temporary():
    fd = os.open("/box/closed", os.O_TMPFILE | os.O_WRONLY)
    os.write(fd, b"SECRET")
    return read(link_of(fd))


def names():
    for name, way in {
            "root": lambda: read("/proc/self/root/box/closed/f"),
            "init": lambda: read("/proc/1/root/box/closed/f"),
            "thread": lambda: read("/proc/thread-self/root/box/closed/f"),
            "reopened": lambda: read(link_of(handle("/box/closed/f"))),
            "beneath": lambda: read("f", dir_fd=handle("/box/closed")),
            "beneath_link": lambda: read(link_of(handle("/box/closed")) + "/f"),
            "written": lambda: read(link_of(os.open("/box/closed/f", os.O_WRONLY))),
            "linked": lambda: link_and_read("/box/closed/f"),
            "linked_fd": lambda: link_and_read(link_of(handle("/box/closed/f")), follow_symlinks=True),
            "linked_empty": link_empty,
            "moved_above": lambda: (os.rename("/box/above", "/box/other"), read("/box/other/closed/f"))[1],
            "moved": lambda: (os.rename("/box/closed", "/box/open/c"), read("/box/open/c/f"))[1],
            "moved_file": lambda: (os.rename("/box/closed/f", "/box/open/g"), read("/box/open/g"))[1],
            "exchanged": exchange,
            "handle": open_by_handle,
            "tree": lambda: read("f", dir_fd=call("syscall", 428, AT_FDCWD, b"/box/closed", 0)),
            "cloned_tree": lambda: read("f", dir_fd=call("syscall", 428, AT_FDCWD, b"/box/closed", 1)),
            "mapped": lambda: mmap.mmap(os.open("/box/closed/f", os.O_WRONLY), 0, prot=1).read().decode(),
            "passed": passed, "stolen": stolen, "mapped_file": mapped_file, "temporary": temporary,
            "within": from_within, "child_within": child_within,
            "jailed": lambda: (os.chroot("/box/closed"), read("/f"))[1]}.items():
        attempt(name, way)


# /box/program, /box/library.so and /box/loader are not to be executed.
def ran(command, **more):
    return "SECRET" if subprocess.run(command, capture_output=True, **more).returncode == 0 else "failed"


def through_script(line, path):
    write(path, f"#!{line}\n")
    return ran([path])


def by_descriptor():
    fd = os.open("/box/program", os.O_PATH | os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        argv = (ctypes.c_char_p * 3)(b"x", b"exit", None)
        LIBC.syscall(322, fd, b"", argv, (ctypes.c_char_p * 1)(None), AT_EMPTY_PATH)  # execveat(2)
        os._exit(77)
    return "SECRET" if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 else "failed"


def by_link(path):
    os.symlink("/box/program", path)
    return ran([path, "exit"])


def other_loader():
    text = bytearray(open("/bin/true", "rb").read())
    named = b"/lib64/ld-linux-x86-64.so.2"
    at = text.index(named)
    text[at:at + len(named)] = b"/box/loader".ljust(len(named), b"\0")
    write("/dir/other", bytes(text))
    return ran(["/dir/other"])


def preloaded():
    tried = subprocess.run(["/bin/true"], env={"LD_PRELOAD": "/box/library.so"}, capture_output=True)
    return "failed" if tried.stderr else "SECRET"


def programs():
    attempt("itself", lambda: ran(["/box/program", "exit"]))
    attempt("descriptor", by_descriptor)
    attempt("descriptor_link", lambda: ran([link_of(fd := handle("/box/program")), "exit"], pass_fds=[fd]))
    attempt("link", lambda: by_link("/dir/link"))
    attempt("loader", lambda: ran(["/lib64/ld-linux-x86-64.so.2", "/box/program", "exit"]))
    attempt("interpreter", lambda: through_script("/box/program exit", "/dir/one"))
    attempt("interpreters", lambda: through_script("/dir/one", "/dir/two"))
    attempt("other_loader", other_loader)
    attempt("preloaded", preloaded)


# /dir/NAME has a rule of its own, and loses its name.
def unlinked(path):
    fd = handle(path)
    os.unlink(path)
    return read(link_of(fd))


def replaced(path):
    fd = handle(path)
    write("/dir/fresh", "x")
    os.rename("/dir/fresh", path)
    return read(link_of(fd))


def linked_again(path):
    fd = handle(path)
    os.unlink(path)
    os.link(link_of(fd), "/dir/again", follow_symlinks=True)
    return read("/dir/again")


def executed(path):
    write(path, open("/bin/true", "rb").read())
    fd = handle(path)
    os.unlink(path)
    child = os.fork()
    if child == 0:
        try:
            os.execve(link_of(fd), ["x"], {})
        except OSError as error:
            os._exit(error.errno)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "SECRET" if code == 0 else errno.errorcode[code]


def nameless():
    for path in ("/dir/one", "/dir/two", "/dir/three"):
        write(path, "SECRET")
    attempt("unlinked", lambda: unlinked("/dir/one"))
    attempt("replaced", lambda: replaced("/dir/two"))
    attempt("linked_again", lambda: linked_again("/dir/three"))
    attempt("executed", lambda: executed("/dir/program"))
    attempt("of_the_root", lambda: unlinked("/etc/passwd").replace("root:", "SECRET"))


# /dir/log only grows.
def growing():
    log = "/dir/log"
    write(log, "0123456789")
    fd = os.open(log, os.O_RDWR | os.O_APPEND)
    source = os.open("/etc/hostname", os.O_RDONLY)

    def kept(_):
        with open(log, encoding="ascii") as file:
            return "kept" if file.read().startswith("0123456789") else "SECRET"

    def store():
        mmap.mmap(fd, 10, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)[0:4] = b"XXXX"

    for name, way in {
            "mapped": store,
            "pwrite": lambda: os.pwrite(fd, b"X", 0),
            "flags": lambda: (fcntl.fcntl(fd, fcntl.F_SETFL, 0), os.lseek(fd, 0, 0), os.write(fd, b"X")),
            "reopened": lambda: os.pwrite(os.open(link_of(fd), os.O_RDWR), b"X", 0),
            "reopened_cut": lambda: os.pwrite(os.open(link_of(fd), os.O_RDWR | os.O_TRUNC), b"X", 0),
            "cut": lambda: os.ftruncate(fd, 2),
            "copied": lambda: os.copy_file_range(source, fd, 3, 0, 0),
            "sent": lambda: os.sendfile(fd, source, 0, 3),
            "linked": lambda: (os.link(log, "/dir/l"), os.pwrite(os.open("/dir/l", os.O_RDWR), b"X", 0)),
            "punched": lambda: call("fallocate", fd, 3, ctypes.c_long(0), ctypes.c_long(5)),
            "zeroed": lambda: call("fallocate", fd, 0x10, ctypes.c_long(0), ctypes.c_long(5)),
            "replaced": lambda: (write("/dir/n", "n"), os.rename("/dir/n", log))}.items():
        attempt(name, lambda w=way: kept(w()))
        attempt(name + "_after", lambda: kept(None))


# /box/masked, /box/script and /box/program show nothing.
def masks():
    for name, way in {
            "read": lambda: read("/box/masked"),
            "reopened": lambda: read(link_of(handle("/box/masked"))),
            "attribute": lambda: os.getxattr("/box/masked", "user.x").decode(),
            "attributes": lambda: " ".join(os.listxattr("/box/masked")).replace("user.x", "SECRET"),
            "size": lambda: "SECRET" if os.stat("/box/masked").st_size == 6 else "other",
            "size_fd": lambda: "SECRET" if os.fstat(handle("/box/masked")).st_size == 6 else "other",
            "script": lambda: subprocess.run(["/box/script"], capture_output=True, text=True).stdout,
            "program": lambda: "SECRET" if subprocess.run(["/box/program", "exit"]).returncode == 0 else "",
            "linked": lambda: link_and_read("/box/masked"),
            "moved": lambda: (os.rename("/box/masked", "/box/m"), read("/box/m"))[1]}.items():
        attempt(name, way)


# Memory that is executed and was written.
def address_of_code():
    return ctypes.cast(LIBC.getppid, ctypes.c_void_p).value


def through_the_file(pid=None):
    fd = os.open(f"/proc/{pid or 'self'}/mem", os.O_RDWR)
    os.pwrite(fd, CODE, address_of_code())
    return "SECRET" if LIBC.getppid() == 42 else "same"


def poked():
    child = os.fork()
    if child == 0:
        LIBC.ptrace(0, 0, 0, 0)
        os.kill(os.getpid(), 19)
        os._exit(42 if LIBC.getppid() == 42 else 0)
    os.waitpid(child, 0)
    try:
        word = int.from_bytes(CODE + b"\x90\x90", "little")
        call("ptrace", 4, child, ctypes.c_void_p(address_of_code()), ctypes.c_void_p(word))
    finally:
        LIBC.ptrace(7, child, 0, 0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "SECRET" if code == 42 else "same"


def private(prot):
    LIBC.mmap.restype = ctypes.c_void_p
    return ctypes.c_void_p(LIBC.mmap(None, 4096, prot, 0x22, -1, 0))


def implied():
    LIBC.personality(0x0400000)
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    finally:
        LIBC.personality(0)
    return "SECRET"


def attached():
    LIBC.shmat.restype = ctypes.c_long
    call("shmat", call("shmget", 0, 4096, 0o1777), 0, 0o100000)  # SHM_EXEC
    return "SECRET"


def of_a_memory_file():
    fd = os.memfd_create("x")
    os.write(fd, b"\x90" * 4096)
    mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
    return "SECRET"


def memory():
    attempt("turned", lambda: (call("mprotect", private(3), 4096, 5), "SECRET")[1])
    attempt("both", lambda: (call("mprotect", private(1), 4096, 7), "SECRET")[1])
    attempt("implied", implied)
    attempt("file", of_a_memory_file)
    attempt("attached", attached)
    attempt("poked", poked)
    attempt("forced", through_the_file)


# 127.0.0.0/8 and ::1 are not to be reached, and no port is to be taken that was not asked for.
def sockets():
    servers = [socket.create_server(("0.0.0.0", 8000)),
               socket.create_server(("::", 8001), family=socket.AF_INET6)]
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("0.0.0.0", 8002))

    def reach(family, kind, *address):
        with socket.socket(family, kind) as end:
            end.connect(address)
        return "SECRET"

    def send(how):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            how(end)
        return "SECRET"

    def listen(family):
        with socket.socket(family) as end:
            end.listen()
        return "SECRET"

    def fast():
        with socket.socket() as end:
            end.sendto(b"x", 0x20000000, ("127.0.0.1", 8000))  # MSG_FASTOPEN
        return "SECRET"

    for host in ("127.0.0.1", "127.9.9.9", "0.0.0.0"):
        attempt("tcp_" + host, lambda: reach(socket.AF_INET, socket.SOCK_STREAM, host, 8000))
        attempt("udp_" + host, lambda: reach(socket.AF_INET, socket.SOCK_DGRAM, host, 8002))
        attempt("sent_" + host, lambda: send(lambda end: end.sendto(b"x", (host, 8002))))
        attempt("message_" + host, lambda: send(lambda end: end.sendmsg([b"x"], [], 0, (host, 8002))))
        attempt("mapped_" + host, lambda: reach(socket.AF_INET6, socket.SOCK_STREAM, "::ffff:" + host, 8000))
    for host in ("::1", "::"):
        attempt("tcp_" + host, lambda: reach(socket.AF_INET6, socket.SOCK_STREAM, host, 8001))
    attempt("fast", fast)
    attempt("listening", lambda: listen(socket.AF_INET))
    attempt("listening_6", lambda: listen(socket.AF_INET6))
    for server in servers:
        server.close()


# Names that are not to be seen: every call says the same as of one that is not there.
PATH_CALLS = {
    "open": lambda p: os.open(p, os.O_RDONLY),
    "directory": lambda p: os.open(p, os.O_DIRECTORY),
    "create": lambda p: os.open(p, os.O_CREAT | os.O_WRONLY),
    "exclusive": lambda p: os.open(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY),
    "nofollow": lambda p: os.open(p, os.O_NOFOLLOW),
    "path": handle,
    "temporary": lambda p: os.open(p, os.O_TMPFILE | os.O_RDWR),
    "below": lambda p: os.open(p + "/x", os.O_RDONLY),
    "create_below": lambda p: os.open(p + "/x", os.O_CREAT | os.O_WRONLY),
    "slash": lambda p: os.open(p + "/", os.O_RDONLY),
    "dot": lambda p: os.stat(p + "/."),
    "dots": lambda p: os.stat(p + "/.."),
    "stat": os.stat, "lstat": os.lstat, "statvfs": os.statvfs, "readlink": os.readlink,
    "access": lambda p: call("access", p.encode(), 0),
    "mkdir": os.mkdir, "rmdir": os.rmdir, "unlink": os.unlink, "mknod": os.mknod, "mkfifo": os.mkfifo,
    "symlink": lambda p: os.symlink("x", p),
    "link_to": lambda p: os.link("/box/open/f", p),
    "link_from": lambda p: os.link(p, "/box/open/z"),
    "rename_to": lambda p: os.rename("/box/open/f", p),
    "rename_from": lambda p: os.rename(p, "/box/open/z"),
    "rename_new": lambda p: call("renameat2", AT_FDCWD, b"/box/open/f", AT_FDCWD, p.encode(), RENAME_NOREPLACE),
    "exchange": lambda p: call("renameat2", AT_FDCWD, b"/box/open/f", AT_FDCWD, p.encode(), RENAME_EXCHANGE),
    "chmod": lambda p: os.chmod(p, 0o700), "chown": lambda p: os.chown(p, 0, 0), "utime": os.utime,
    "truncate": lambda p: os.truncate(p, 0), "chdir": os.chdir, "chroot": os.chroot,
    "exec": lambda p: os.execv(p, ["x"]),
    "getxattr": lambda p: os.getxattr(p, "user.x"), "listxattr": os.listxattr,
    "setxattr": lambda p: os.setxattr(p, "user.x", b"x"),
    "removexattr": lambda p: os.removexattr(p, "user.x"),
    "inotify": lambda p: call("inotify_add_watch", LIBC.inotify_init(), p.encode(), 0xfff),
    "bind": lambda p: socket.socket(socket.AF_UNIX).bind(p),
    "connect": lambda p: socket.socket(socket.AF_UNIX).connect(p),
    "mount": lambda p: call("mount", b"x", p.encode(), b"tmpfs", 0, None),
    "umount": lambda p: call("umount2", p.encode(), 0),
    "pivot_root": lambda p: call("syscall", 155, p.encode(), p.encode()),
    "handle": lambda p: call("name_to_handle_at", AT_FDCWD, p.encode(), None, None, 0)}


def hidden():
    for name, way in PATH_CALLS.items():
        said = []
        for each in ("none", "f", "d", "l"):
            try:
                way("/box/hidden/" + each)
                said.append("OK")
            except OSError as error:
                said.append(errno.errorcode[error.errno])
        print(name, *said, flush=True)


FAMILIES = (names, programs, nameless, growing, masks, memory, sockets, hidden)
{f.__name__: f for f in FAMILIES}[sys.argv[1]]()
