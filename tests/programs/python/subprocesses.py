import os, signal, subprocess, sys

print(subprocess.run(["echo", "hello"], capture_output=True, text=True).stdout)
print(subprocess.run(["sh", "-c", "exit 5"]).returncode)
print(subprocess.run(["sh", "-c", "kill -9 $$"]).returncode)
print(subprocess.check_output("cat | tr a-z A-Z", input=b"shell", shell=True))
try:
    subprocess.run(["sleep", "10"], timeout=0.1)
except subprocess.TimeoutExpired:
    print("timeout")
try:
    subprocess.run(["/does/not/exist"])
except FileNotFoundError as error:
    print(error)
children = [subprocess.Popen(["sh", "-c", f"sleep 0.{i}; exit {i}"]) for i in range(4)]
print([child.wait() for child in children])
producer = subprocess.Popen(["seq", "1000"], stdout=subprocess.PIPE)
print(subprocess.check_output(["wc", "-l"], stdin=producer.stdout), producer.wait())
print(subprocess.run([sys.executable, "-c", "import sys; print(sys.stdin.read().count('x'))"],
                     input="x" * 300000, capture_output=True, text=True).stdout)
print(os.waitstatus_to_exitcode(os.system("exit 3")))
pid = os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ)
print(os.waitpid(pid, 0)[1])
child = subprocess.Popen(["sleep", "100"], start_new_session=True)
os.killpg(child.pid, signal.SIGTERM)
print(child.wait())
print(subprocess.run(["cat", "/proc/self/comm"], capture_output=True, preexec_fn=lambda: os.nice(1)).stdout)
