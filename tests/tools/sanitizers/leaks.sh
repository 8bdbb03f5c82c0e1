# needs: gcc
# programs: leak
# LeakSanitizer stops its own process by ptrace to look for pointers.
./leak
echo "ended with $?"
./leak word 2>&1 | head -n 20
ASAN_OPTIONS=detect_leaks=0 ./leak
echo "ended with $?"
LSAN_OPTIONS=exitcode=9:report_objects=1 ./leak
echo "ended with $?"
