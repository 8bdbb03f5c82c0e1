// A parent and a child that do one thing each, in turn: the child waits for the parent's byte.
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int pipe_ends[2];

void in_child(int value) {
  char byte;
  if (read(pipe_ends[0], &byte, 1) != 1) _exit(1);
  printf("child got %c and %d\n", byte, value);
  fflush(stdout);
  _exit(value);
}

void in_parent(int value) {
  printf("parent has %d\n", value);
  fflush(stdout);
  if (write(pipe_ends[1], "x", 1) != 1) _exit(1);
}

int main(void) {
  int value = 7, status;
  if (pipe(pipe_ends) != 0) return 1;
  pid_t child = fork();
  if (child == 0) in_child(value);
  in_parent(value);
  waitpid(child, &status, 0);
  printf("child ended with %d\n", WEXITSTATUS(status));
  return 0;
}
