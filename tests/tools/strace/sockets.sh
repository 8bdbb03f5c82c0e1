# needs: strace gcc
# programs: opens
# -yy: what a descriptor is, in detail.
strace -yy -qq -o trace -e trace=socketpair,write,openat ./opens /etc/hostname
sed 's/\([[>]\)[0-9]\+/\1N/g' trace
