// flags: -fsanitize=thread -O1
// Two threads that write one variable, in turn but without synchronisation.
#include <pthread.h>
#include <stdio.h>

int value;

void* writer(void* argument) {
  value = (int)(long)argument;
  return NULL;
}

int main(void) {
  pthread_t one, two;
  pthread_create(&one, NULL, writer, (void*)1);
  pthread_create(&two, NULL, writer, (void*)2);
  pthread_join(one, NULL);
  pthread_join(two, NULL);
  printf("done\n");
  return 0;
}
