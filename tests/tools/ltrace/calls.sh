# needs: ltrace gcc
# programs: steps forks
# Calls of libraries, by breakpoints; of the kernel, too; in children; counted.
. ./session.sh
ltrace -o trace ./steps one
cat trace
ltrace -S -o trace ./steps
sed 's/\(set_tid_address.* = \).*/\1N/' trace
ltrace -f -o trace ./forks
per_process trace | sed '/ fflush(/d; / ) *= 0$/d; s/ \([,)]\)/\1/; s/waitpid([0-9]*\(.*\) = [0-9]*/waitpid(N\1 = N/' | grep -v SIGCHLD
ltrace -c -o trace ./steps one
awk '{print $4, $5}' trace | sort
