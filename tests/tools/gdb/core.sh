# needs: gdb gcc
# programs: crash steps
# Core files that the debugger writes, and that it reads. Whether the page of vsyscalls can be read is
# a setting of the kernel.
. ./session.sh
debug --args ./crash <<'GDB' | grep -v 'read failed for corefile'
run
bt
print $_siginfo.si_code
print $_siginfo._sifields._sigfault.si_addr
generate-core-file made
kill
GDB
debug ./crash made <<'GDB' | grep -v 'New LWP'
core-file made
bt
up
info locals
info signal SIGSEGV
GDB
debug --args ./steps <<'GDB' | grep -v 'read failed for corefile'
break add if total > 20
run
gcore second
kill
core-file second
bt
print total
print limits
info threads
GDB
debug --args ./crash abort <<'GDB'
run
bt -1
continue
GDB
