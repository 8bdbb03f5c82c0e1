import os, pty, select, signal, struct, termios, fcntl, tty

def read_all(fd):
    out = b""
    while select.select([fd], [], [], 5)[0]:
        try: data = os.read(fd, 1000)
        except OSError: break
        if not data: break
        out += data
    return out

pid, fd = pty.fork()
if pid == 0: os.execlp("sh", "sh", "-c", "tty >/dev/null && echo is a tty; stty size; read x; echo got $x")
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 70, 0, 0)); os.write(fd, b"input\n")
out = read_all(fd).replace(b"\r", b"").decode(); print("is a tty" in out, "got input" in out); print(os.waitpid(pid, 0)[1])
pid, fd = pty.fork()
if pid == 0: os.execlp("cat", "cat")
os.write(fd, b"x\n"); shown = b""
while shown.count(b"x") < 2: shown += os.read(fd, 100)
os.write(fd, b"\x03"); read_all(fd); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGINT)
master, slave = pty.openpty(); print(os.isatty(slave), os.ttyname(slave).startswith("/dev/pts/"))
tty.setraw(slave); os.write(master, b"\x03raw"); print(os.read(slave, 10)); os.close(slave)
print(pty.spawn(["true"]))
