# Job control without a terminal: set -m gives each job its process group.
set -m
sleep 100 & 
jobs | sed 's/ *$//'
kill -STOP %1; sleep 0.2; jobs | sed 's/ *$//'
bg %1 >/dev/null; sleep 0.1; jobs | sed 's/ *$//'
kill %1; wait %1 2>/dev/null; echo "status $?"
sleep 0.1 & sleep 0.2 & wait; echo "all done $?"
(sleep 0.05; exit 4) & wait -n; echo "first $?"
a=$(ps -o pgid= -p $$ | tr -d ' '); sleep 1 & b=$(ps -o pgid= -p $! | tr -d ' ')
[[ $a != "$b" ]] && echo "own group"
kill $!; wait $! 2>/dev/null
coproc cat; echo through >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"
