# needs: strace gcc
# programs: waits threads
# -p: to a running process, and off again; to one with threads.
. ./session.sh
# until_attached NUMBER FILE: strace has said so of as many threads, and lets them go on.
until_attached() {
  until [[ $(grep -c attached "$2" 2>/dev/null) -ge $1 ]]; do sleep 0.02; done
  sleep 0.1
}
mkfifo input
./waits <input >output & program=$!
exec 3>input
until_line ready output
strace -o trace -p $program 2>said 3>&- & tracer=$!
until_attached 1 said
echo one >&3; until_line 4 output
echo four >&3; until_line 5 output
kill -TERM $tracer; wait $tracer
echo "strace ended with $?"
grep TracerPid /proc/$program/status
echo three >&3; until_line 6 output
exec 3>&-
wait $program; echo "the program with $?"
sed '1,/"one/d' trace
mkfifo more
./threads stay <more >output & program=$!
exec 3>more
until_line ready output
strace -f -o all -p $program 2>said 3>&- & tracer=$!
until_attached 1 said
exec 3>&-
wait $program $tracer
per_process all | sort -k 2 | cut -d' ' -f2-
sed 's/[0-9]\+/N/g' said
cat output
