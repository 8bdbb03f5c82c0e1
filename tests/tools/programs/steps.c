// What a debugger steps through: calls, recursion, a loop, variables that change now and then.
#include <stdio.h>
#include <string.h>

struct point {
  int x, y;
  const char* name;
};

int total;
int limits[4] = {3, 5, 7, 11};

int factorial(int n) {
  if (n <= 1) return 1;
  return n * factorial(n - 1);
}

int scale(struct point* p, int by) {
  p->x *= by;
  p->y *= by;
  return p->x + p->y;
}

void add(int amount) {
  int before = total;
  total = before + amount;
}

int main(int argc, char** argv) {
  struct point p = {1, 2, "first"};
  for (int i = 0; i < 4; i++) {
    int by = limits[i];
    int sum = scale(&p, by);
    add(sum % 100);
  }
  int f = factorial(5);
  printf("total %d, point %d %d, factorial %d\n", total, p.x, p.y, f);
  for (int i = 1; i < argc; i++) printf("argument %s of %zu\n", argv[i], strlen(argv[i]));
  return total % 7;
}
