# needs: gdb gcc
# programs: forks
# Which of two processes is followed, and both at once.
. ./session.sh
debug --args ./forks <<'GDB'
set follow-fork-mode child
break in_child
set startup-with-shell on
run >said
bt
next
next
continue
GDB
until_line "child ended with 7" said
cat said
echo; echo "== both"
debug --args ./forks <<'GDB'
set detach-on-fork off
break in_child
break in_parent
run
info inferiors
bt
inferior 2
info breakpoints
continue
bt
inferior 1
next
next
next
next
inferior 2
continue
inferior 1
continue
info inferiors
GDB
