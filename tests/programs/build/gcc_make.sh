# needs: gcc make
# limit: 120
cat >main.c <<'END'
#include <stdio.h>
#include "lib.h"
int main(void) { printf("%d\n", twice(21)); return 0; }
END
echo 'int twice(int x);' >lib.h; echo '#include "lib.h"
int twice(int x) { return 2 * x; }' >lib.c
printf 'program: main.o lib.a\n\tgcc -o $@ $^\nlib.a: lib.o\n\tar rcs $@ $^\n%%.o: %%.c lib.h\n\tgcc -O2 -c $<\nclean:\n\trm -f *.o *.a program\n' >Makefile
make -s -j2 && ./program; make; touch lib.c; make | sed 's/  *$//'; make -s clean; ls
gcc -g -O0 -o debug main.c lib.c && ./debug; gcc -static -o static main.c lib.c && ./static
gcc -shared -fPIC -o libx.so lib.c && gcc -o dynamic main.c -L. -lx -Wl,-rpath,"$PWD" && ./dynamic
echo 'int main() { return undefined_thing; }' >bad.c; gcc bad.c 2>&1 | grep -c error; nm lib.o 2>/dev/null; size static >/dev/null && strip static && ./static
