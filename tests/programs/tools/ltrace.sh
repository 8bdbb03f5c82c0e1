# needs: ltrace gcc
# ltrace: breakpoints in the linkage table, arguments as strings, children.
cat >greet.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
  char text[64];
  strcpy(text, "hello ");
  strcat(text, getenv("NAME"));
  puts(text);
  if (fork() == 0) exit(atoi("4"));
  int status = 0;
  wait(&status);
  return WEXITSTATUS(status) + (int)strlen(text);
}
C
gcc -O0 -fno-builtin -no-pie -Wl,-z,lazy -fcf-protection=none -o greet greet.c
normal() { sed -E 's/0x[0-9a-f]+/ADDR/g; s/= [0-9]{2,}$/= N/; s/\[pid [0-9]+\]/[pid N]/; s/ +/ /g'; }
NAME=world ltrace -o log -e strcpy+strcat+getenv+puts+strlen+atoi ./greet
echo "exit code $?"
normal <log
NAME=world ltrace -f -o log -e atoi+strlen ./greet
echo "exit code $?"
normal <log | sed -E 's/^[0-9]+ //' | sort
NAME=world ltrace -c -o log ./greet
awk '$4 ~ /^(strcpy|puts|wait)$/ {print $4, $3}' log | sort
