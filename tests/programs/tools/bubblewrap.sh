# needs: bwrap
# A sandbox in the sandbox: user, mount and pid namespaces, pivot_root, propagation.
box() { bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp "$@"; }
box --unshare-pid -- sh -c '
  id -u
  ls -A /tmp | wc -l
  set -- /proc/[0-9]*; echo $#
  ls /dev | sort
  touch /etc/x 2>/dev/null || echo "read-only"
  echo written >/tmp/f && cat /tmp/f'
box --unshare-user --uid 1234 --gid 5678 -- id -u
box --unshare-ipc --unshare-uts --hostname inner -- uname -n
mkdir data && echo hello >data/f
box --bind data /tmp/data -- sh -c 'cat /tmp/data/f; echo more >>/tmp/data/f'
cat data/f
box --dir /tmp/a/b --symlink a/b /tmp/link --file 3 /tmp/made -- \
  sh -c 'ls /tmp; cat /tmp/made; readlink /tmp/link' 3<<<"from a descriptor"
box -- sh -c 'exit 7'
echo "exit code $?"
box -- /no/such/program 2>/dev/null
echo "exit code $?"
# One in the other.
box --unshare-pid -- bwrap --unshare-pid --dev-bind / / --proc /proc -- sh -c 'echo $PPID; ls /tmp'
