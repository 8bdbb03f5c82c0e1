# needs: gdb gcc
# programs: threads
# A running process with four threads: attached, looked at, changed, let go; and once more.
. ./session.sh
mkfifo input
./threads stay <input >output &
exec 3>input
until_line ready output
for turn in 1 2; do
  debug -p $! <<'GDB' |
info threads
thread apply all bt -3
print sums
set var sums[0] = sums[0] + 100
detach
GDB
    grep -v '^\[New LWP'
  grep State /proc/$!/status
done
debug -p $! -ex 'print sums' -ex kill <commands | grep '^[$]'
wait $! 2>/dev/null
echo "ended with $?"
