// Signs of life of the loop that serves the tasks, for a watchdog that looks at them from a signal
// handler.
#pragma once
#include <atomic>
#include <cstdint>

namespace usk {

struct Heartbeat {
  std::atomic<uint64_t> rounds{0};  // Counts up whenever something else is begun.
  std::atomic<int32_t> task{0};   // The number of the task that is served, in the first namespace.
  std::atomic<int32_t> call{-1};  // Its system call; -1: none.
};
extern Heartbeat heartbeat;

inline void beat(int32_t task, int32_t call) {
  heartbeat.task.store(task, std::memory_order_relaxed);
  heartbeat.call.store(call, std::memory_order_relaxed);
  heartbeat.rounds.store(heartbeat.rounds.load(std::memory_order_relaxed) + 1,
                         std::memory_order_relaxed);
}

// The task is at another call.
inline void beat_call(uint64_t call) {
  heartbeat.call.store(int32_t(call), std::memory_order_relaxed);
}

}  // namespace usk
