# needs: ip ss python3 unshare
# if: unshare -rn true
# A network of its own: as the kernel makes it, brought up, used, listed.
export PATH=$PATH:/usr/sbin
unshare -rn bash -c '
  ip link show lo | head -1
  ip addr add 10.9.8.7/24 dev lo
  ip link set lo up
  ip -o -4 addr show | awk "{print \$2, \$4}"
  ip -o -6 addr show | awk "{print \$2, \$4}"
  ip addr add 10.9.8.7/24 dev lo; echo "exit code $?"
  ip addr del 10.9.8.9/24 dev lo; echo "exit code $?"
  ip route get 10.9.8.77 | head -1 | awk "{print \$1, \$2, \$3, \$4}"
  ip route get 203.0.113.5; echo "exit code $?"
  ip link set nothing up; echo "exit code $?"
  ip -4 rule
  python3 -c "
import socket, subprocess
four = socket.create_server((\"10.9.8.7\", 4321), backlog=3)
six = socket.create_server((\"::1\", 4322), family=socket.AF_INET6, backlog=3)
client = socket.create_connection((\"10.9.8.7\", 4321))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((\"0.0.0.0\", 53))
print(subprocess.run([\"ss\", \"-Htlnu\"], capture_output=True, text=True).stdout)
print(client.getsockname()[0])
" | awk "{\$1=\$1; print}"
  ip link set lo down; ip -o link | grep -c "state DOWN"'
