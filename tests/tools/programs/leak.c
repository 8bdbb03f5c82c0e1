// flags: -fsanitize=address -O1
// Leaks two blocks, or with an argument reads one that was given back.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char* volatile kept;

void leak(size_t bytes) {
  kept = malloc(bytes);
  memset(kept, 1, bytes);
  kept = NULL;
}

int main(int argc, char** argv) {
  leak(100);
  leak(7);
  puts("leaked");
  fflush(stdout);
  if (argc > 1) {
    kept = malloc(10);
    strcpy(kept, argv[1]);
    free(kept);
    return kept[0];
  }
  return 0;
}
