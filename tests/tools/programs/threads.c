// Three threads that meet at barriers. With an argument they then stay: each for itself waits for
// what never comes, the main thread says "ready" and waits for end of input.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

pthread_barrier_t started, done, left;
int never[2];
int sums[3];
int staying;

void stay(int number) {
  char byte;
  while (read(never[0], &byte, 1) < 0) sums[number]++;
}

void work(int number) {
  for (int i = 0; i <= number; i++) sums[number] += i;
}

void* worker(void* argument) {
  int number = (int)(long)argument;
  pthread_barrier_wait(&started);
  work(number);
  pthread_barrier_wait(&done);
  if (staying) stay(number);
  pthread_barrier_wait(&left);
  return NULL;
}

void checkpoint(void) {}

int main(int argc, char** argv) {
  pthread_t threads[3];
  (void)argv;
  staying = argc > 1;
  if (pipe(never) != 0) return 1;
  pthread_barrier_init(&started, NULL, 4);
  pthread_barrier_init(&done, NULL, 4);
  pthread_barrier_init(&left, NULL, 4);
  for (long i = 0; i < 3; i++) pthread_create(&threads[i], NULL, worker, (void*)i);
  pthread_barrier_wait(&started);
  pthread_barrier_wait(&done);
  usleep(100 * 1000);  // Whoever came last is through with waking the others.
  checkpoint();
  if (staying) {
    char byte;
    puts("ready");
    fflush(stdout);
    ssize_t got = read(0, &byte, 1);
    printf("main got %zd\n", got);
    return 0;
  }
  pthread_barrier_wait(&left);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  printf("sums %d %d %d\n", sums[0], sums[1], sums[2]);
  return 0;
}
