# needs: gdb gcc
# programs: steps
# Calls in the debugged program, and changes to it: variables, registers, memory, the flow.
. ./session.sh
debug --args ./steps word <<'GDB'
break scale
run
print factorial(6)
call add(1000)
print total
print $_strlen("four")
print (long)strlen("hello")
set var p->x = 50
print *p
print p->name[0]@5
return 42
next
info locals
set var $rax = 5
print $rax
print $xmm0.v4_int32[0] * 0
print/x limits
set var limits[3] = 1
break factorial
disable 1
continue
python
try:
    gdb.execute("call factorial(3)")
except gdb.error as error:
    print(error)
end
bt
delete
finish
bt
tbreak 38
jump 38
info program
continue
GDB
