// Ends by a signal, three calls deep: a null pointer, or abort() with an argument.
#include <stdlib.h>

struct node {
  struct node* next;
  int value;
};

int follow(struct node* n, int depth) {
  if (depth > 0) return follow(n->next, depth - 1);
  return n->value;
}

int main(int argc, char** argv) {
  (void)argv;
  struct node last = {0, 2}, first = {&last, 1};
  if (argc > 1) abort();
  return follow(&first, 2);
}
