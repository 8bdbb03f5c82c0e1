# needs: gdb gcc
# programs: forks
# Catchpoints: system calls, forks, signals, execs.
. ./session.sh
debug --args ./forks <<'GDB'
catch syscall pipe2 write
catch fork
run
bt 1
continue
continue
continue
continue
info breakpoints
delete
continue
GDB
echo 'kill -USR1 $$; exec /bin/echo done' >signals
debug --args /bin/bash ./signals <<'GDB'
catch signal SIGUSR1
catch exec
run
print $_siginfo.si_signo
print $_siginfo.si_code
signal 0
info program
continue
GDB
