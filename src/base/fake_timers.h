// A TimerService that a test moves by hand.
#pragma once
#include <map>
#include <vector>

#include "base/timer.h"

namespace usk {

// Installs itself for its lifetime.
class FakeTimers final : public TimerService {
 public:
  FakeTimers() { set_timer_service(this); }
  ~FakeTimers() override { set_timer_service(nullptr); }

  int64_t now(clockid_t clock) override {
    return monotonic_ + (clock == CLOCK_REALTIME ? realtime_offset_ : 0);
  }
  void arm(Ref<TimerClient> client, clockid_t clock, int64_t at) override {
    TimerClient* key = client.get();
    armed_[key] = {std::move(client), clock, at};
  }
  void disarm(TimerClient& client) override { armed_.erase(&client); }
  uint64_t clock_set_count() override { return set_count_; }
  WaitQueue& clock_set_queue() override { return set_queue_; }

  void advance(int64_t ns) {
    monotonic_ += ns;
    fire();
  }
  void set_realtime(int64_t ns) {
    realtime_offset_ = ns - monotonic_;
    ++set_count_;
    set_queue_.wake(POLLIN);
    fire();
  }
  size_t armed() const { return armed_.size(); }

 private:
  struct Armed {
    Ref<TimerClient> client;
    clockid_t clock;
    int64_t at;
  };
  void fire() {
    std::vector<Ref<TimerClient>> due;
    std::erase_if(armed_, [&](auto& entry) {
      if (now(entry.second.clock) < entry.second.at) return false;
      due.push_back(entry.second.client);
      return true;
    });
    for (auto& client : due) client->expired();
  }

  int64_t monotonic_ = 1000 * kNsPerSecond;
  int64_t realtime_offset_ = 1'700'000'000 * kNsPerSecond;
  uint64_t set_count_ = 0;
  WaitQueue set_queue_;
  std::map<TimerClient*, Armed> armed_;
};

}  // namespace usk
