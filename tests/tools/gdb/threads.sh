# needs: gdb gcc
# programs: threads
# Threads that meet at barriers: all of them seen at once, and one of them alone.
. ./session.sh
debug --args ./threads <<'GDB'
set print thread-events off
break work if number == 1
run
info threads
thread apply all print $_thread
bt 2
print number
set scheduler-locking on
next
next
print sums[1]
set scheduler-locking off
delete
break checkpoint
continue
print sums
thread apply all -q bt 1
continue
GDB
