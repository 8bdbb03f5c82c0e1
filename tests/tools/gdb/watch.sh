# needs: gdb gcc
# programs: steps
# Watchpoints: of the processor, and by single steps.
. ./session.sh
debug --args ./steps <<'GDB'
break main
run
watch total
info watchpoints
continue
continue
delete 2
rwatch limits[2]
continue
bt
delete 3
awatch limits[3]
continue
delete 4
hbreak factorial
continue
info breakpoints
delete
set can-use-hw-watchpoints 0
kill
tbreak 36
run
watch f if f > 100
info watchpoints
continue
kill
GDB
