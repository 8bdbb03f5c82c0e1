// --test-autosave: the sandbox is saved, ended and restored in a new process again and again, which
// nothing inside may notice. The conformance test of checkpoints.
#pragma once
#include <cstdint>
#include <random>
#include <string>

#include "base/failure.h"
#include "mm/page_source.h"
#include "mm/range_set.h"

namespace usk {

// When to save: "every-block" (a call has begun to wait), "every-syscall" (a call begins),
// "random:SEED" (one of about sixteen calls).
class AutosavePlan {
 public:
  static OrFailure<AutosavePlan> parse(const std::string& text);
  // The plan for the sandbox's process number `i`: chance differs from one to the next.
  static std::string of_process(const std::string& text, int i);
  // By the kernel, of each call. The sandbox is to be saved before tasks go on.
  void call_begins();
  void call_blocks();
  bool is_due() const { return due_; }

 private:
  enum class When { kBlock, kSyscall, kRandom } when_ = When::kBlock;
  std::minstd_rand random_;
  bool due_ = false;
};

// All pages are there, but only for who waits for them: every other process of the sandbox finds
// its memory arriving, as a fork does.
class PagesOnDemand final : public PageSource {
 public:
  bool has(uint64_t at, uint64_t length) override;
  Result<void> wait_for(uint64_t at, uint64_t length) override;

 private:
  RangeSet brought_;
};

// The exit code of a process that has saved its sandbox and is to be followed by another.
constexpr int kSavedExit = 250;

}  // namespace usk
