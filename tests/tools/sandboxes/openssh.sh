# needs: sshd ssh ssh-keygen
# OpenSSH's server with its own sandbox, and a client, over pipes instead of a network. It takes root to
# separate privileges, and an account that is not locked: inside there is no /etc/shadow that says so.
((EUID == 0)) && ! grep -qs '^root:!' /etc/shadow || exit 0
[[ -e /etc/shadow ]] || echo 'root:*:1:0:99999:7:::' >/etc/shadow
PATH=$PATH:/usr/sbin
ssh-keygen -q -t ed25519 -N '' -f host_key
ssh-keygen -q -t ed25519 -N '' -f user_key
cp user_key.pub authorized_keys
mkdir -p /run/sshd
cat >sshd_config <<CONFIG
HostKey $PWD/host_key
AuthorizedKeysFile $PWD/authorized_keys
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
CONFIG
sshd -t -f $PWD/sshd_config && echo "good configuration"
options=(-F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
  -i user_key -o ProxyCommand="/usr/sbin/sshd -i -f $PWD/sshd_config -E $PWD/log")
ssh "${options[@]}" root@here 'echo "on the other side"; exit 4'
echo "ended with $?"
echo one two | ssh "${options[@]}" root@here 'tr a-z A-Z'
ssh "${options[@]}" -o PreferredAuthentications=password root@here true
grep -o '^Accepted publickey for root' log
