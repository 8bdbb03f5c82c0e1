# needs: gcc
# programs: races
# ThreadSanitizer lays out the address space in its own way; who comes first is left to chance.
./races 2>&1 | grep -E 'done|WARNING|SUMMARY'
echo "ended with ${PIPESTATUS[0]}"
