# needs: ipcs ipcmk ipcrm perl
# System V IPC as its tools and Perl see it. Identifiers and times differ from run to run.
number() { sed 's/.*: //'; }
shm=$(ipcmk -M 8193 -p 0640 | number); sem=$(ipcmk -S 3 | number); msg=$(ipcmk -Q | number)
clean() { sed -E 's/((shm|sem|msq)id=|\()[0-9]+/\1ID/; s/0x[0-9a-f]{8} [0-9]+/KEY ID/; s/ ?= ?[A-Z][a-z]{2} [A-Z].*/ = TIME/; s/pid=[0-9]+/pid=N/g' | tr -s ' '; }
ipcs -m -i "$shm" | clean; ipcs -s -i "$sem" | clean; ipcs -q -i "$msg" | clean
ipcs -l | grep -v total
for kind in m s q; do ipcs -$kind | tail -n +3 | grep -E "^0x[0-9a-f]* ($shm|$sem|$msg) " | head -n 1 | clean; done
perl -e '
  use IPC::SysV qw(IPC_NOWAIT IPC_RMID SETVAL GETVAL);
  my ($shm, $sem, $msg) = @ARGV;
  shmwrite($shm, "hello from perl", 0, 15) or die; my $text; shmread($shm, $text, 6, 4) or die; print "$text\n";
  semctl($sem, 1, SETVAL, 2); semop($sem, pack("s!3", 1, -1, 0)) or die; print semctl($sem, 1, GETVAL, 0), "\n";
  print semop($sem, pack("s!3", 0, -1, IPC_NOWAIT)) ? "taken" : "busy: $!", "\n";
  my $pid = fork // die;
  if (!$pid) { my $m; msgrcv($msg, $m, 100, 3, 0) or die; print "got ", unpack("x8 a*", $m), "\n"; exit 4 }
  msgsnd($msg, pack("l! a*", 2, "other"), 0) or die; msgsnd($msg, pack("l! a*", 3, "letter"), 0) or die;
  waitpid($pid, 0); print $? >> 8, "\n"; $| = 1;
' "$shm" "$sem" "$msg"
ipcs -q -i "$msg" | grep -E 'cbytes|qnum' | clean
ipcrm -m "$shm" -s "$sem" -q "$msg"; echo "removed $?"; ipcrm -m "$shm" 2>&1 | clean
head -qn 1 /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg
