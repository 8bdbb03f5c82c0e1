// Says "ready", then answers each line of its input with its length.
#include <stdio.h>
#include <string.h>

int main(void) {
  char line[100];
  setvbuf(stdout, NULL, _IOLBF, 0);
  puts("ready");
  while (fgets(line, sizeof line, stdin)) printf("%zu\n", strlen(line));
  return 0;
}
