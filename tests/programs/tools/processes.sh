# needs: ps pgrep
# What process tools see of /proc.
sleep 50 & pid=$!
ps -o stat=,args= -p $pid | sed 's/ *$//'; ps -o ppid= -p $pid | tr -d ' ' | grep -qx $$ && echo parent
pgrep -x sleep -P $$ | wc -l; kill -0 $pid && echo alive
cat /proc/$pid/comm; tr '\0' ' ' </proc/$pid/cmdline; echo; readlink /proc/$pid/exe | sed 's|.*/||'
renice -n 5 -p $pid >/dev/null; ps -o ni= -p $pid | tr -d ' '
pkill -P $$ -x sleep; wait $pid 2>/dev/null; echo "status $?"
ps -e -o pid= | grep -qw $$ && echo listed; nice -n 3 nice; setsid sh -c 'ps -o sid= -p $$ | tr -d " " | grep -qx $$ && echo session'
flock lock -c 'echo locked'; (flock -n 9 && echo got; flock -n lock -c true || echo busy) 9>lock
timeout --foreground 5 true; echo $?; nohup echo nohup 2>/dev/null; prlimit --nofile=55 sh -c 'ulimit -n'; free >/dev/null && uptime >/dev/null && echo free
script -qec 'tty | sed s/[0-9]*$//; stty -a | head -n 1 | cut -d";" -f2' /dev/null | tr -d '\r'
