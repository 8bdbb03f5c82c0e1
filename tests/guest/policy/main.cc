// policy ways DIR TMP | policy race HOW DIR ROUNDS | policy signals | policy forged | policy exit
#include <stdlib.h>
#include <string.h>

#include "tests/guest/policy/policy.h"

int main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "ways") == 0) return try_ways(argv[2], argv[3]);
  if (argc == 5 && strcmp(argv[1], "race") == 0) return race(argv[2], argv[3], atoi(argv[4]));
  if (argc == 2 && strcmp(argv[1], "signals") == 0) return return_from_signals();
  if (argc == 2 && strcmp(argv[1], "forged") == 0) return return_from_forged_frame();
  return argc == 1 || strcmp(argv[1], "exit") == 0 ? 0 : 2;
}
