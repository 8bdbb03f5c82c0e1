# Traps, signals, wait, timeouts.
trap 'echo exit-trap' EXIT
trap 'echo usr1' USR1
kill -USR1 $$
(trap 'echo child-term; kill $!; exit 5' TERM; sleep 10 & wait) & pid=$!
sleep 0.3; kill -TERM $pid; wait $pid; echo "status $?"
sleep 100 & pid=$!; kill -KILL $pid; wait $pid 2>/dev/null; echo "status $?"
timeout 0.2 sleep 10; echo "timeout $?"
trap '' INT; kill -INT $$; echo survived
trap - INT
bash -c 'kill -INT $$; echo not reached'; echo "status $?"
bash -c 'kill -SEGV $$' 2>/dev/null; echo "status $?"
trap 'echo err-trap' ERR; false; trap - ERR
(ulimit -t 1; while :; do :; done) 2>/dev/null; echo "cpu limit $?"
kill -l 9
