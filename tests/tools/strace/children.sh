# needs: strace gcc
# programs: opens
# -f and -ff: every process, in one file and in one for each; a shell's pipeline call by call.
. ./session.sh
strace -f -qq -o trace ./opens /etc/hostname /no/such
per_process trace
echo; echo "== one file each"
strace -ff -o each ./opens
cat $(ls -v each.*)
echo; echo "== a pipeline; which of its processes ends first is left out"
strace -ff -o pipe -e signal=none -e trace='!wait4,rt_sigreturn,rt_sigprocmask,sysinfo,uname,prlimit64' \
  bash -c 'echo a b | tr a-z A-Z | cat'
cat $(ls -v pipe.*)
