#include "fs/vfs/caller.h"

namespace usk {
namespace {

// Before the kernel is there (unit tests), nobody hears of terminals' signals.
class NoJobControl final : public JobControl {
 public:
  void signal_group(GroupId, int) override {}
  void hang_up(SessionId, GroupId) override {}
  void forget_terminal(SessionId) override {}
};

NoJobControl no_job_control;
JobControl* installed = &no_job_control;

}  // namespace

void set_job_control(JobControl* jc) { installed = jc ? jc : &no_job_control; }
JobControl& job_control() { return *installed; }

}  // namespace usk
