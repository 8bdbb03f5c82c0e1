# needs: valgrind vgdb gdb gcc
# programs: steps
# gdb debugs what runs under valgrind, by vgdb, which attaches with ptrace where it must.
. ./session.sh
valgrind --vgdb=yes --vgdb-error=0 --vgdb-prefix=$PWD/pipe -q ./steps >said 2>&1 & program=$!
until compgen -G 'pipe-from-vgdb*' >/dev/null; do sleep 0.05; done
debug ./steps <<GDB | grep -vE '^(relaying data|warning: remote|Reading|done)|_start'
set sysroot /
target remote | vgdb --vgdb-prefix=$PWD/pipe --pid=$program
break add if total > 20
continue
bt
print total
monitor v.info n_errs_found
watch limits[3]
finish
delete
continue
GDB
wait $program
echo "ended with $?"
cat said | sed 's/^==[0-9]*==/==/'
