#include "base/timer.h"

#include <atomic>

#include "base/check.h"

namespace usk {
namespace {

std::atomic<TimerService*> the_service{nullptr};

}  // namespace

void set_timer_service(TimerService* service) { the_service = service; }

TimerService& timer_service() {
  TimerService* service = the_service.load(std::memory_order_acquire);
  CHECK(service);
  return *service;
}

}  // namespace usk
