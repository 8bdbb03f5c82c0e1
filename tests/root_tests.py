"""--root of archives and OCI images: what they show, and that hostile ones harm nobody."""
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import tarfile

import hosts

CASES = {}
BUSYBOX = shutil.which("busybox")
SHELL = ["/bin/busybox", "sh", "-c"]
ESCAPE = "/tmp/usk-escaped"  # What no archive may make.


def case(function):
    CASES[function.__name__] = function
    return function


def jobs(build, options):
    return hosts.case_jobs("root", CASES, build, options) if BUSYBOX else iter(())


def entry(name, kind=tarfile.REGTYPE, data=b"", **more):
    """(header, contents) of an archive."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data)
    info.mode = 0o755
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def tar(*entries, form=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def system():
    """A system of one program."""
    libraries = re.findall(r"(/\S+) \(", subprocess.check_output(["ldd", BUSYBOX], text=True))
    entries = [entry("bin", tarfile.DIRTYPE)]
    for path, name in [(BUSYBOX, "bin/busybox"), *((path, path[1:]) for path in libraries)]:
        with open(path, "rb") as file:
            entries.append(entry(name, data=file.read()))
    return entries


def save(host, name, data):
    path = os.path.join(host.runtime, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def inside(host, root, script, flags=(), **more):
    return host.usk("run", "--root", root, *flags, "--", *SHELL, script, **more)[0]


def descriptor(blobs, data, kind, **more):
    digest = hashlib.sha256(data).hexdigest()
    blobs[f"blobs/sha256/{digest}"] = data
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}",
            "size": len(data), **more}


def image(blobs, layers, config=None, machine="amd64", **more):
    """The descriptor of a manifest."""
    about = {"os": "linux", "architecture": machine, "config": config or {}, "rootfs": {}}
    manifest = {"schemaVersion": 2,
                "config": descriptor(blobs, json.dumps(about).encode(), "config.v1+json"),
                "layers": [descriptor(blobs, layer, "layer.v1.tar") for layer in layers]}
    return descriptor(blobs, json.dumps(manifest).encode(), "manifest.v1+json", **more)


def index(*manifests):
    return json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()


def layout(blobs, *manifests):
    return {**blobs, "index.json": index(*manifests),
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}


def as_directory(host, files, name="layout"):
    for path, data in files.items():
        save(host, os.path.join(name, path), data)
    return os.path.join(host.runtime, name)


@case
def archive_is_a_root(host):
    """Types, modes, times, links and names of any bytes, compressed or not; writes stay inside."""
    plain = tar(*system(), entry("etc/text", data=b"text\n", mode=0o640, uid=7, gid=8, mtime=1e9),
                entry("etc/soft", tarfile.SYMTYPE, linkname="text"),
                entry("etc/hard", tarfile.LNKTYPE, linkname="etc/text"),
                entry("fifo", tarfile.FIFOTYPE), entry("./sp \u00e4\u6f22", data=b"x"),
                entry("n" * 200 + "/" + "m" * 200, data=b"long"), entry("big", data=b"y" * 300000))
    script = ("cd /etc; busybox stat -c '%a %u %g %h %Y %F' text; busybox cat soft hard; "
              "busybox stat -c %F /fifo; echo /sp*; busybox cat /n*/m*; "
              "echo more >>text; busybox cat hard; busybox wc -c </big; busybox rm /big; "
              "busybox ls /big; busybox df / | busybox grep -c usk")
    want = ("640 7 8 2 1000000000 regular file\ntext\ntext\nfifo\n/sp \u00e4\u6f22\nlongtext\nmore\n"
            "300000\n1\n")
    forms = {"plain.tar": plain, "gzip.tar.gz": gzip.compress(plain),
             "xz.tar.xz": lzma.compress(plain),
             "zstd": subprocess.run(["zstd", "-c"], input=plain, capture_output=True).stdout}
    for name, data in forms.items():
        got = inside(host, save(host, name, data), script.replace("busybox", "/bin/busybox"))
        assert got == want, (name, got)
    gnu = tar(*system(), entry("n" * 200 + "/\u00e4" + "m" * 200, data=b"x\n"), form=tarfile.GNU_FORMAT)
    assert inside(host, save(host, "gnu.tar", gnu), "/bin/busybox cat /n*/*") == "x\n"


@case
def mapped_files_end_where_they_end(host):
    """Files lie side by side in memory; who maps one sees zeros behind its end, then SIGBUS."""
    source = """
        #include <fcntl.h>
        #include <stdio.h>
        #include <sys/mman.h>
        int main(void) {
          char* p = mmap(0, 3 * 4096, PROT_READ, MAP_PRIVATE, open("/small", O_RDONLY), 0);
          printf("%.5s %d\\n", p, p[5] + p[4095]);
          fflush(stdout);
          return p[4096];
        }"""
    program = os.path.join(host.runtime, "program")
    subprocess.run(["gcc", "-static", "-x", "c", "-o", program, "-"], input=source, text=True,
                   check=True)
    with open(program, "rb") as file:
        archive = tar(entry("program", data=file.read()), entry("small", data=b"small"),
                      entry("other", data=b"secret" * 5000), *system())
    assert inside(host, save(host, "mapped.tar", archive), "/program; echo $?") == "small 0\n135\n"


@case
def hostile_paths(host):
    """Nothing lands outside, whatever the names and links say."""
    for name in ("../../.." + ESCAPE, "a/../../../.." + ESCAPE, "..", "a/.."):
        root = save(host, "up.tar", tar(*system(), entry(name, data=b"bad")))
        host.refused("run", "--root", root, "--", "/bin/busybox", "true", saying='".."')
    links = tar(*system(), entry("up", tarfile.SYMTYPE, linkname="../../../../../../tmp"),
                entry("up/usk-escaped", data=b"kept"),
                entry("abs", tarfile.SYMTYPE, linkname=host.runtime),
                entry("abs/usk-escaped", data=b"out\n"),
                entry("var/in", tarfile.SYMTYPE, linkname="/../../var/place"),
                entry("var/in/usk-escaped", data=b"in\n"), entry(ESCAPE + "2", data=b"top\n"))
    root = save(host, "links.tar", links)
    assert inside(host, root, "cd /var/place; /bin/busybox cat usk-escaped") == "in\n"
    assert not os.path.exists(os.path.join(host.runtime, "usk-escaped"))
    assert not os.path.exists(ESCAPE) and not os.path.exists(ESCAPE + "2")


@case
def hostile_links(host):
    for target in ("/etc/passwd", "../../../../etc/passwd", "bin", "missing"):
        root = save(host, "hard.tar", tar(*system(), entry("stolen", tarfile.LNKTYPE,
                                                           linkname=target)))
        host.refused("run", "--root", root, "--", "/bin/busybox", "true")
    circle = tar(*system(), entry("one", tarfile.SYMTYPE, linkname="two"),
                 entry("two", tarfile.SYMTYPE, linkname="one"), entry("one/file", data=b"x"))
    host.refused("run", "--root", save(host, "circle.tar", circle), "--", "x", saying="links")
    # Each link makes the way twice as long.
    growing = [entry("l0", tarfile.SYMTYPE, linkname="d/d")]
    growing += [entry(f"l{i}", tarfile.SYMTYPE, linkname=f"l{i - 1}/../l{i - 1}") for i in range(1, 60)]
    host.refused("run", "--root", save(host, "grow.tar", tar(*growing, entry("l59/x", data=b"x"))),
                 "--", "x")


@case
def hostile_devices(host):
    """A device of an archive is one of the sandbox, never one of the host."""
    root = save(host, "devices.tar", tar(
        *system(), entry("disk", tarfile.BLKTYPE, devmajor=8, devminor=0, mode=0o666),
        entry("mem", tarfile.CHRTYPE, devmajor=1, devminor=1, mode=0o666),
        entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)))
    got = inside(host, root, "(: </disk) 2>&1; (: </mem) 2>&1; echo x >/null && echo null")
    assert "null" in got and got.count("No such device") == 2, got


@case
def hostile_sizes(host):
    """Files that say they are huge, and archives that end in the middle, are refused at once."""
    for size in (1 << 40, 1 << 62):
        info, _ = entry("huge")
        info.size = size
        header = info.tobuf(tarfile.GNU_FORMAT)
        for data in (header, gzip.compress(header + bytes(1 << 20))):
            host.refused("run", "--root", save(host, "huge.tar", data), "--", "x")
    plain = tar(*system())
    packed = gzip.compress(plain)
    for cut in (0, 1, 100, 513, len(packed) // 2):
        host.refused("run", "--root", save(host, "cut.tar", plain[:cut]), "--", "x")
        host.refused("run", "--root", save(host, "cut.tgz", packed[:cut]), "--", "x")


@case
def bomb(host):
    """Zeros that were packed well are counted as what they are, and do not fill the memory."""
    info, _ = entry("zeros")
    with open("/proc/meminfo") as file:
        info.size = int(file.readline().split()[1]) * 1024 // 3 * 2
    root = save(host, "bomb.tgz", gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(64 << 20)))
    host.refused("run", "--root", root, "--", "x", saying="MiB that a root in memory may have")
    # Less is allowed, and costs nothing.
    many = tar(*system(), *(entry(f"z{i}", data=bytes(32 << 20)) for i in range(4)))
    root = save(host, "zeros.tgz", gzip.compress(many, 1))
    assert inside(host, root, "/bin/busybox wc -c </z3") == "33554432\n"


@case
def damaged_archives(host):
    """Bytes turned over here and there: an archive, or one line that refuses it."""
    plain = tar(entry("d", tarfile.DIRTYPE), entry("d/f", data=b"abc" * 300),
                entry("l", tarfile.SYMTYPE, linkname="d/f"), entry("h", tarfile.LNKTYPE, linkname="d/f"),
                entry("\u00e4" * 120, data=b"x"))
    for packed in (plain, gzip.compress(plain), lzma.compress(plain)):
        for step in range(25):
            data = bytearray(packed)
            for at in range(step * 7, len(data), len(data) // 5 + 1):
                data[at] ^= 1 << step % 8
            root = save(host, "damaged", bytes(data))
            done = subprocess.run([host.usk_path, "run", "--root", root, "--", "/none"],
                                  capture_output=True, env=host.environment, timeout=20)
            assert done.returncode in (125, 126, 127), (done.returncode, done.stderr)
            assert done.stderr.count(b"\n") == 1, done.stderr


@case
def image_layers(host):
    """Later layers replace, and take away with whiteouts what lies below them."""
    blobs = {}
    first = tar(*system(), entry("keep/a", data=b"a"), entry("gone/b", data=b"b"),
                entry("opaque/c", data=b"c"), entry("file", data=b"old\n"), entry("dir/x", data=b"x"),
                entry("same", data=b"s"))
    second = gzip.compress(tar(
        entry(".wh.gone"), entry("opaque/new", data=b"n"), entry("opaque/.wh..wh..opq"),
        entry("file", data=b"new\n"), entry("keep/.wh.none"), entry("dir", data=b"now a file\n"),
        entry(".wh.same"), entry("same", data=b"again\n")))
    root = as_directory(host, layout(blobs, image(blobs, [first, second])))
    got = inside(host, root, "cd /; echo keep/* opaque/* gone*; /bin/busybox cat file dir same")
    assert got == "keep/a opaque/new gone*\nnew\nnow a file\nagain\n", got


@case
def image_config(host):
    """The command, its environment, place and user come from the image unless given."""
    config = {"Entrypoint": ["/bin/busybox", "sh", "-c"],
              "Cmd": ["echo $WHO $PATH $HOME; /bin/busybox pwd; /bin/busybox id -u"],
              "Env": ["WHO=image", "PATH=/bin"], "WorkingDir": "/made/here", "User": "guest"}
    blobs = {}
    people = entry("etc/passwd", data=b"guest:x:12:13::/home/guest:/bin/sh\n")
    files = layout(blobs, image(blobs, [tar(*system(), people)], config))
    root = as_directory(host, files)
    assert host.usk("run", "--root", root)[0] == "image /bin /home/guest\n/made/here\n12\n"
    got, _ = host.usk("run", "--root", root, "-e", "WHO=me", "--cwd", "/bin", "--user", "0:0")
    assert got == "me /bin /root\n/bin\n0\n", got
    assert inside(host, root, "echo $WHO $0", flags=["-e", "HOME=/x"]) == "image sh\n"
    archive = save(host, "image.tar", tar(*(entry(name, data=data) for name, data in files.items())))
    assert host.usk("run", "--root", archive)[0] == "image /bin /home/guest\n/made/here\n12\n"
    bare = as_directory(host, layout(blobs, image(blobs, [tar(*system())])), "bare")
    host.refused("run", "--root", bare, saying="names no command")


@case
def image_choice(host):
    """That of this machine, by name where there are several, through nested indexes."""
    blobs, layer = {}, tar(*system())
    arm = {"os": "linux", "architecture": "arm64"}
    named = [image(blobs, [layer], {"Cmd": ["/bin/busybox", "echo", name]},
                   annotations={"org.opencontainers.image.ref.name": name}) for name in ("v1", "v2")]
    other = image(blobs, [layer], machine="arm64", platform=arm)
    root = as_directory(host, layout(blobs, *named, other))
    host.refused("run", "--root", root, saying="v1, v2")
    assert host.usk("run", "--root", root + ":v2")[0] == "v2\n"
    host.refused("run", "--root", root + ":v3", saying="v3")
    nested = descriptor(blobs, index(other, image(blobs, [layer], {"Cmd": ["/bin/busybox", "echo", "n"]},
                                                  platform={"os": "linux", "architecture": "amd64"})),
                        "index.v1+json")
    assert host.usk("run", "--root", as_directory(host, layout(blobs, nested), "nested"))[0] == "n\n"
    only = as_directory(host, layout(blobs, image(blobs, [layer], machine="arm64")), "only")
    host.refused("run", "--root", only, saying="arm64")


@case
def damaged_images(host):
    """Every blob is what its digest says, lies in the layout, and is of the size told."""
    def refused(files, saying):
        shutil.rmtree(os.path.join(host.runtime, "layout"), ignore_errors=True)
        host.refused("run", "--root", as_directory(host, files), "--", "x", saying=saying)

    blobs = {}
    good = layout(blobs, image(blobs, [tar(*system())]))
    for path in blobs:
        changed = bytearray(good[path])
        changed[-1] ^= 1
        refused({**good, path: bytes(changed)}, path)
        refused({**good, path: good[path] + b" "}, "another size")
        refused({name: data for name, data in good.items() if name != path}, "No such file")
    for digest in ("sha256:../../../../etc/passwd", "sha256:", "md5:00", "sha256:" + "0" * 63, ""):
        wrong = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 2}
        refused({**good, "index.json": index(wrong)}, "")
    for text in (b"", b"[]", b"{}", b'{"manifests": {}}', b'{"manifests": [1]}', b"[" * 100000,
                 b'{"a":' * 100000, b" " * (5 << 20)):
        refused({**good, "index.json": text}, "")
    manifest = image(blobs, [])
    loop = {**manifest, "mediaType": "application/vnd.oci.image.index.v1+json"}
    refused({**good, **blobs, "index.json": index(loop)}, "")
    path = as_directory(host, good, "linked")
    victim = os.path.join(path, next(iter(blobs)))
    os.rename(victim, victim + "-moved")
    os.symlink(victim + "-moved", victim)
    host.refused("run", "--root", path, "--", "x")
    os.remove(victim)
    os.mkfifo(victim)
    host.refused("run", "--root", path, "--", "x")


@case
def no_such_root(host):
    host.refused("run", "--root", "/none", "--", "true", saying="--root /none: No such file")
    host.refused("run", "--root", "/dev/null", "--", "true", saying="--root /dev/null")
    host.refused("run", "--root", "/etc/passwd", "--", "true", saying="no tar archive")
    if os.geteuid() == 0:
        root = save(host, "secret.tar", tar(*system()))
        os.chmod(root, 0)
        os.chmod(host.runtime, 0o755)
        nobody = dict(user=65534, group=65534, extra_groups=[])
        host.refused("run", "--root", root, "--", "x", saying="Permission denied", **nobody)
