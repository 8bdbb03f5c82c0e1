# needs: busybox
busybox sh -c 'for i in 1 2 3; do echo $i; done | busybox wc -l; trap "echo t" EXIT'
seq 10 | busybox awk '{s+=$1} END {print s}'; echo hello | busybox sed s/l/L/g; busybox ls / | busybox grep -c proc
mkdir d; busybox touch d/x; busybox find d; busybox tar cf d.tar d; busybox tar tf d.tar; busybox md5sum d.tar >/dev/null && echo sum
busybox sh -c 'sleep 0.1 & wait $!; echo $?'; busybox vi -h >/dev/null 2>&1; busybox printf '%s\n' end; busybox ps >/dev/null && echo ps
busybox gzip -c d.tar | busybox gunzip -c | cmp - d.tar && echo gzip; busybox expr 6 '*' 7; busybox dd if=/dev/zero bs=1k count=3 2>/dev/null | busybox wc -c
