# needs: ls cp mv ln stat dd
mkdir -p src/sub; echo content >src/file; echo other >src/sub/deep; ln -s file src/link; ln src/file src/hard
cp -a src copy; diff -r src copy && echo same
stat -c '%F %a %h %s' src/file src/link; stat -c '%F %a %h' src  # Sizes of directories are the file system's affair.
ls -la src | awk 'NR>1 {print $1, $2, ($1 ~ /^d/ ? "-" : $5), $9}' | grep -v '\.\.'
mv copy moved; ls moved; rm -r moved; ls
dd if=/dev/zero of=block bs=1k count=100 2>/dev/null; stat -c %s block; truncate -s 1M sparse; stat -c '%s %b' sparse
touch -d '2020-01-02 03:04:05 UTC' dated; date -u -r dated +%F; stat -c %Y dated
chmod 640 block; stat -c %a block; chmod u+s block; stat -c %a block
readlink -f src/link | sed 's|.*/src|src|'; realpath --relative-to=. src/sub/deep
seq 20 | split -l 7 - part; wc -l part*; cat part* | md5sum
seq 10 | shuf --random-source=/dev/zero | sort -n | tail -n 1
echo 'c b a' | tr ' ' '\n' | sort | uniq -c | sort -k2; comm <(seq 1 3) <(seq 2 4)
du -sk src | cut -f2; df . >/dev/null && echo df; mkfifo pipe; (echo via >pipe &); cat pipe
printf 'a,b\nc,d\n' | cut -d, -f2 | paste -s; head -c 5 src/file | od -c | head -n 1; expr 3 \* 4
nproc >/dev/null && id -un >/dev/null && uname -s; env | grep -c PATH; sleep 0.05; tac src/file; basename a/b.c .c
install -D -m 755 src/file inst/dir/file; stat -c %a inst/dir/file; rmdir inst 2>&1 | sed 's/.*: //'
sha256sum src/file; cksum src/file; base64 src/file; numfmt --to=iec 1048576; factor 360
