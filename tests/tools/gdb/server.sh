# needs: gdb gdbserver gcc
# programs: steps threads
# saved: no, each packet of the protocol is a wait
# The debugger and its server, over a pipe.
. ./session.sh
debug --args ./steps word <<'GDB'
set sysroot /
target remote | gdbserver --once - ./steps word
break scale
continue
bt
finish
watch total
continue
delete
info threads
stepi
continue
GDB
echo; echo "== threads"
# How deep in the barrier a thread is differs.
debug --args ./threads <<'GDB' | sed 's/^#[0-9]* .* in clone3/#N in clone3/'
set sysroot /
set print thread-events off
target extended-remote | gdbserver --once --multi -
set remote exec-file ./threads
break checkpoint
run
thread apply all -q bt -1
continue
GDB
