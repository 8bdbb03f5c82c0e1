# needs: gdb gdbserver gcc python3
# programs: steps
# limit: 60
# saved: no, each piece of what is typed is a wait
# The debugger and its server at two terminals, between which somebody carries what they say.
. ./session.sh
cat >carry.py <<'PYTHON'
import os, select, sys, tty
masters = []
for name in sys.argv[1:]:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.symlink(os.ttyname(slave), name)
    masters.append(master)
print("ready", flush=True)
other = dict(zip(masters, reversed(masters)))
while True:
    for ready in select.select(masters, [], [])[0]:
        os.write(other[ready], os.read(ready, 4096))
PYTHON
python3 carry.py server client >said & carrier=$!
until_line ready said
gdbserver --once "$(readlink server)" ./steps word >served 2>&1 & server=$!
debug --args ./steps word <<GDB | sed 's|/dev/pts/[0-9]*|/dev/pts/N|'
set sysroot /
target remote $(readlink client)
break scale
continue
bt
print *p
finish
tbreak factorial
continue
info registers rip eflags
delete
continue
GDB
# The terminal hangs up.
kill $carrier
wait $server; echo "the server ended with $?"
sed 's|/dev/pts/[0-9]*|/dev/pts/N|; s/pid = [0-9]*/pid = N/' served
