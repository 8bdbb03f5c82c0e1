// A guest that attacks the stub it runs in: what the attacks share. Each is made by a child
// process, which may die or hang for it.
#pragma once
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

// What the stub and the kernel process say to each other: any guest can find that out.
#include "platform/trap/area.h"

constexpr uint64_t kBlob = USK_BLOB_BASE;
constexpr uint64_t kAreas = USK_AREAS;
constexpr uint64_t kAreaSize = USK_AREA_SIZE;

// Ends the program with what the observer takes for a failure: "ESCAPE: ...".
[[noreturn]] void escaped(const char* what, long nr, long result);

// The address of a `syscall` in the blob that is followed by `ret`; the attack ends if there is
// none.
uint64_t syscall_gadget();
// How many bytes of the blob can be read.
size_t blob_size();
// A host call from within the blob.
long through_blob(uint64_t gadget, long nr, long a = 0, long b = 0, long c = 0, long d = 0,
                  long e = 0, long f = 0);
uint64_t random_word();
// The area of the calling thread; null where it has none.
usk::trap::Area* own_area();

// Makes `attempt` in a child.
template <class F>
void in_child(F attempt) {
  const pid_t child = fork();
  if (child == 0) {
    attempt();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 99) _exit(99);
}

// The same for what may never end: it is killed after some milliseconds.
template <class F>
void in_brief_child(F attempt) {
  const pid_t child = fork();
  if (child == 0) {
    attempt();
    _exit(0);
  }
  int status = 0;
  for (int i = 0; i < 20 && waitpid(child, &status, WNOHANG) == 0; i++) usleep(200);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 99) _exit(99);
}

// host_calls.cc: calls that the host must not make.
void forbidden_calls();
void own_pages_of_the_stub();
void edges_of_the_blob();
void poisoned_advice();
void old_calls();
void code_of_32_bits();
void other_conventions();
// Process and directory are those outside.
void set_victim(pid_t pid, const char* directory);
void effects_on_the_host();
void readonly_files();

// shared_memory.cc: what the kernel process reads.
void scribble_requests();
void scribble_everywhere();
void scribble_over_oneself();
void forged_posts();
void forged_orders();
void forged_forks();
void notices_of_others();
void lost_thread();

// futexes.cc: waits that stubs make themselves.
void lies_about_waits();
void false_sleepers();
void words_that_stubs_sleep_on();
void forged_waits();
void bells_of_others();

// protocol.cc: guest code that speaks for its stub.
void stray_child();
void silent_child();
void mapping_that_is_only_told_of();
void child_with_areas_of_its_parent();
void child_that_outlives();
void child_of_another_number();
void threads_that_do_not_end();
void stubborn_thread();
void stubborn_thread_behind_a_flood();
void memory_of_the_dead();

// registers.cc: where the stub's code is entered, and with what.
void segment_bases();
void areas_of_others();
void frame_with_bad_segments();
void frame_with_wild_flags();
void frame_far_away();
void frame_with_bad_state();
void frames_of_the_host();
void frames_of_the_kernel();
void alternate_stack_elsewhere();
void patched_sites();
void jump_everywhere();
