import mmap, os, shutil, sqlite3, tempfile, threading

db = sqlite3.connect("db"); db.execute("pragma journal_mode=wal"); db.execute("create table t (x integer)")
with db: db.executemany("insert into t values (?)", ((i,) for i in range(5000)))
print(db.execute("select count(*), sum(x) from t").fetchone())
def write(n):
    own = sqlite3.connect("db", timeout=10)
    with own: own.execute("insert into t values (?)", (n,))
    own.close()
threads = [threading.Thread(target=write, args=(-n,)) for n in range(1, 6)]; [t.start() for t in threads]; [t.join() for t in threads]
print(db.execute("select count(*), min(x) from t").fetchone()); db.close()
with open("file", "w+b") as file:
    file.write(b"a" * 10000); file.flush()
    with mmap.mmap(file.fileno(), 0) as area:
        area[5] = ord("z"); print(area.find(b"z"), len(area)); area.flush(); area.resize(20000); print(area[19999])
    file.seek(5); print(file.read(1), os.path.getsize("file"))
area = mmap.mmap(-1, 4096)
if os.fork() == 0: area[0:5] = b"child"; os._exit(0)
os.wait(); print(area[0:5])
with tempfile.TemporaryDirectory(dir=".") as name:
    os.makedirs(f"{name}/a/b"); open(f"{name}/a/b/f", "w").write("x"); shutil.copytree(f"{name}/a", f"{name}/c"); print(sorted(os.listdir(name)))
print(os.path.exists(name)); os.symlink("file", "link"); print(os.readlink("link"), os.path.samefile("file", "link"))
os.setxattr("file", "user.k", b"v"); print(os.getxattr("file", "user.k"), os.listxattr("file"))
fd = os.memfd_create("m"); os.write(fd, b"memory"); print(os.pread(fd, 10, 3)); r, w = os.pipe(); print(os.sendfile(w, fd, 0, 6), os.read(r, 9))
print(sorted(entry.name for entry in os.scandir(".") if entry.is_file())); print(os.getrandom(8) != os.getrandom(8), os.cpu_count() > 0)
