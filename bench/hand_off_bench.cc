// How long one getppid(2) takes when THREADS threads make them, each computing for THINK
// nanoseconds in between: `hand_off_bench THREADS THINK MILLISECONDS` prints one line
// `mean p50 p99 max calls`, in nanoseconds, over the calls of all threads.
#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>

#include <atomic>
#include <vector>

#include "bench.h"

using bench::must;
using bench::now_ns;

namespace {

constexpr size_t kMostSamples = 200'000;  // Of each thread.

int64_t g_think, g_end;
std::atomic<bool> g_go;

struct Caller {
  pthread_t thread;
  std::vector<uint32_t> samples;  // What each call took.
  int64_t total = 0, calls = 0, longest = 0;

  void run() {
    samples.reserve(kMostSamples);
    while (!g_go) sched_yield();
    int64_t now = now_ns();
    while (now < g_end) {
      syscall(SYS_getppid);
      const int64_t after = now_ns();
      const int64_t took = after - now;
      total += took, calls++;
      longest = std::max(longest, took);
      if (samples.size() < kMostSamples) samples.push_back(uint32_t(took));
      now = after;
      while (now < after + g_think && now < g_end) now = now_ns();
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  must(argc == 4, "usage: hand_off_bench THREADS THINK_NS MILLISECONDS");
  std::vector<Caller> callers(size_t(atoi(argv[1])));
  g_think = atoll(argv[2]);
  void* (*body)(void*) = [](void* self) -> void* {
    static_cast<Caller*>(self)->run();
    return nullptr;
  };
  for (Caller& c : callers) must(pthread_create(&c.thread, nullptr, body, &c) == 0, "thread");
  g_end = now_ns() + atoll(argv[3]) * 1'000'000;
  g_go = true;
  std::vector<uint32_t> all;
  int64_t total = 0, calls = 0, longest = 0;
  for (Caller& c : callers) {
    pthread_join(c.thread, nullptr);
    all.insert(all.end(), c.samples.begin(), c.samples.end());
    total += c.total, calls += c.calls, longest = std::max(longest, c.longest);
  }
  must(calls > 0, "no call");
  std::sort(all.begin(), all.end());
  printf("%.0f %u %u %lld %lld\n", double(total) / double(calls), all[all.size() / 2],
         all[all.size() - 1 - all.size() / 100], (long long)longest, (long long)calls);
  return 0;
}
