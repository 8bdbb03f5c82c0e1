# needs: valgrind gcc
# programs: crash opens steps
# The program runs on valgrind's own processor, its errors are reported.
plain() { sed 's/^==[0-9]*==/==/; s/(in [^)]*)//; s/at 0x[0-9A-F]*/at/; s/by 0x[0-9A-F]*/by/'; }
valgrind ./steps one 2>&1 | plain
valgrind ./crash 2>&1 | plain | grep -v '^== *$' | head -n 30
valgrind --trace-children=yes ./opens /etc/hostname 2>&1 | plain | grep -vE 'suppressed|^== *$'
