// What a chain of filters says about calls, remembered by number.
#pragma once
#include <array>
#include <memory>
#include <vector>

#include "base/lock.h"
#include "kernel/seccomp/filter.h"

namespace usk::seccomp {

// Most filters decide by the number of a call, or go by it to a few instructions that look at
// arguments. So each filter of a chain is run once per number with everything else unknown: what it
// decides then holds for all calls of the number, and where it meets an unknown it goes on from
// there at each call. Of the chain that begins with the filter that owns this; derived, never
// saved.
class Decisions {
 public:
  Decisions() = default;
  ~Decisions();
  Judgement judge(const Filter& newest, const seccomp_data& data) EXCLUDES(mu_);

  // The same by running each program from its beginning.
  static Judgement judge_plainly(const Filter& newest, const seccomp_data& data);

 private:
  static constexpr uint32_t kNumbers = 512, kBlockSize = 32;
  // A filter that has more to look at.
  struct Rest {
    const Filter* filter;
    size_t place;  // In the chain, from the newest.
    Machine machine;
  };
  struct Decision {
    bool made = false;
    Judgement known;  // Of the filters that the number decides.
    size_t known_place = 0;
    std::vector<Rest> rest;
  };
  using Block = std::array<Decision, kBlockSize>;

  // Null where there is no room to remember it.
  const Decision* find(const Filter& newest, uint32_t nr) EXCLUDES(mu_);
  bool make(Decision& d, const Filter& newest, uint32_t nr) REQUIRES(mu_);

  // A decision does not move or change once it is made.
  Mutex<Rank::kLeaf> mu_;
  std::array<std::unique_ptr<Block>, kNumbers / kBlockSize> blocks_ GUARDED_BY(mu_);
  size_t charged_ GUARDED_BY(mu_) = 0;
};

}  // namespace usk::seccomp
