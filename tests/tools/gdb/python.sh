# needs: gdb gcc
# programs: steps
# A session that a script of Python leads.
. ./session.sh
debug --args ./steps <<'GDB'
python
class Counting(gdb.Breakpoint):
    hits = []
    def stop(self):
        frame = gdb.selected_frame()
        Counting.hits.append((frame.name(), int(frame.read_var("n"))))
        return False
class Ends(gdb.FinishBreakpoint):
    def stop(self):
        print("returned", self.return_value)
        return True
gdb.Breakpoint("scale", temporary=True)
gdb.events.stop.connect(lambda event: print("event", type(event).__name__))
gdb.events.exited.connect(lambda event: print("exit", event.exit_code))
gdb.execute("run")
Ends(gdb.newest_frame(), internal=True)
gdb.execute("continue")
Counting("factorial")
inferior = gdb.selected_inferior()
where = int(gdb.parse_and_eval("(long)&limits"))
print(bytes(inferior.read_memory(where, 16)).hex())
inferior.write_memory(where + 8, b"\x01\0\0\0")
gdb.execute("continue")
print(Counting.hits)
end
GDB
