# needs: unshare nsenter mount findmnt
unshare -Urmpf --mount-proc sh -c '
  id -u
  echo $$
  ls -d /proc/[0-9]* | head -n 1
  mkdir a b
  mount -t tmpfs one a
  mount --make-shared a
  mkdir a/sub
  mount --bind a b
  mount -t tmpfs two b/sub
  findmnt -n -o FSTYPE,SOURCE,PROPAGATION a a/sub
  findmnt -n -o SOURCE,PROPAGATION -M $PWD/a/sub
  mount --make-slave b
  findmnt -n -o PROPAGATION -M $PWD/b
  umount a/sub
  findmnt -n -M $PWD/b/sub || echo "gone"
  mount -o remount,bind,ro b
  touch b/f 2>/dev/null || echo "read-only"
  unshare -m sh -c "umount a; ls a | wc -l; mount -t tmpfs x a && echo mounted"
  touch a/f && ls a
  umount b && umount a && ls a b'
unshare -Ur sh -c 'cat /proc/self/uid_map | tr -s " " | cut -d" " -f2,4; mount -t tmpfs x /tmp' 2>&1 |
  sed 's/mount: .*/mount: refused/' | head -n 2
