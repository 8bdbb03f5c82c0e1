// Reads the clock for so many seconds, and says if it ever goes back.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int count, char** arguments) {
  const long long end = now() + 1000000000LL * (count > 1 ? atoi(arguments[1]) : 1);
  for (long long last = now(); last < end;) {
    const long long next = now();
    if (next < last) return printf("back by %lld ns\n", last - next), 1;
    last = next;
  }
  puts("whole");
}
