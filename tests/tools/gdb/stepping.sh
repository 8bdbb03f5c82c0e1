# needs: gdb gcc
# programs: steps
# Breakpoints, temporary and conditional ones; every way to step.
. ./session.sh
debug --args ./steps one two <<'GDB'
tbreak main
run
next
next
step
step
step
step
info locals
print *p
bt
finish
next
step
finish
break factorial if n == 2
info breakpoints
continue
bt
print n
up 2
print n
down
info frame
stepi
nexti
x/3i $pc
delete
finish
finish
advance 36
next
until 38
print total
info registers rip eflags cs ss
print $_siginfo
continue
print $_exitcode
GDB
