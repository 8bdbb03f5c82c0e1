# What the cases share; each sources it.

# debug ARGUMENTS... <COMMANDS: gdb, as a script, with nothing of the user's set-up.
debug() {
  cat >commands
  gdb -q -nx -batch -iex 'set debuginfod enabled off' -iex 'set auto-load safe-path /' \
    -iex 'set width 0' -iex 'set startup-with-shell off' -x commands "$@" </dev/null 2>&1
}

# per_process FILE: what strace -f or ltrace -f wrote, process by process, calls in one piece.
per_process() {
  awk '{ pid = $1; sub(/^[0-9]+ +/, "") }
    !(pid in seen) { seen[pid] = ++count; ids[count] = pid }
    sub(/ <unfinished ...>$/, "") { begun[pid] = $0; next }
    sub(/^<... [a-z0-9_]+ resumed>/, "") { $0 = begun[pid] $0 }
    { lines[pid] = lines[pid] pid " " $0 "\n" }
    END { for (i = 1; i <= count; i++) printf "%s", lines[ids[i]] }' "$1"
}

# until_line TEXT FILE: waits until the file has a line that is TEXT.
until_line() {
  for ((i = 0; i < 500; i++)); do
    grep -qx "$1" "$2" 2>/dev/null && return
    sleep 0.02
  done
  echo "no line $1 in $2"
  exit 1
}
