# needs: strace gcc
# programs: opens
# Which calls are shown, how they are, and by whom: the tracer, or a filter of the traced process.
. ./session.sh
traced() {
  echo; echo "== $*"
  strace -qq -o trace "$@"
}
traced -f -e trace=%file,clone,wait4 ./opens /etc/hostname; per_process trace
traced -f --seccomp-bpf -e trace=openat,chdir,exit_group ./opens /etc/hostname; per_process trace
traced -f -Z -e trace='!ioctl' ./opens /no/such; per_process trace
traced -z -e trace=%net ./opens; cat trace
traced -P /etc/hostname ./opens /etc/hostname; cat trace
traced -y -e trace=openat,read,close,socketpair ./opens /etc/hostname; sed 's/:\[[0-9]*\]/:[N]/g' trace
traced -T -n -X verbose -s 3 -e trace=openat,read ./opens /etc/hostname; sed 's/<[0-9.]*>/<T>/' trace
traced -e signal=SIGUSR1 -e trace=tgkill,rt_sigreturn ./opens; cat trace
