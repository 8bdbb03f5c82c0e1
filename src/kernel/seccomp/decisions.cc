#include "kernel/seccomp/decisions.h"

namespace usk::seccomp {
namespace {

// For all chains together: a guest can make many that are each looked at once.
Budget& memory() {
  static Budget budget(size_t(16) << 20);
  return budget;
}

// The order of Linux: as a signed number, the lower the stricter.
int32_t strictness(uint32_t verdict) { return int32_t(verdict & SECCOMP_RET_ACTION_FULL); }

}  // namespace

Decisions::~Decisions() {
  if (charged_) memory().release(charged_);
}

Judgement Decisions::judge_plainly(const Filter& newest, const seccomp_data& data) {
  Judgement best;
  for (const Filter* f = &newest; f; f = f->prev().get()) {
    const uint32_t v = f->fast_program().finish({}, data);
    if (strictness(v) < strictness(best.verdict)) best = {v, f};
  }
  return best;
}

bool Decisions::make(Decision& d, const Filter& newest, uint32_t nr) {
  std::vector<Rest> rest;
  size_t place = 0;
  for (const Filter* f = &newest; f; f = f->prev().get(), place++) {
    Machine machine;
    const auto v = run_by_number(f->program(), machine, nr);
    if (!v) {
      rest.push_back({f, place, machine});
    } else if (strictness(*v) < strictness(d.known.verdict)) {
      d.known = {*v, f};
      d.known_place = place;
    }
  }
  rest.shrink_to_fit();
  const size_t size = rest.size() * sizeof(Rest);
  if (!memory().charge(size)) return false;
  charged_ += size;
  d.rest = std::move(rest);
  d.made = true;
  return true;
}

const Decisions::Decision* Decisions::find(const Filter& newest, uint32_t nr) {
  if (nr >= kNumbers) return nullptr;
  Lock lock(mu_);
  std::unique_ptr<Block>& block = blocks_[nr / kBlockSize];
  if (!block) {
    if (!memory().charge(sizeof(Block))) return nullptr;
    charged_ += sizeof(Block);
    block = std::make_unique<Block>();
  }
  Decision& d = (*block)[nr % kBlockSize];
  if (!d.made && !make(d, newest, nr)) {
    d.known = {};
    return nullptr;
  }
  return &d;
}

Judgement Decisions::judge(const Filter& newest, const seccomp_data& data) {
  const Decision* d = find(newest, uint32_t(data.nr));
  if (!d) return judge_plainly(newest, data);
  Judgement best = d->known;
  size_t place = d->known_place;
  for (const Rest& r : d->rest) {
    const uint32_t v = r.filter->fast_program().finish(r.machine, data);
    const bool stricter = strictness(v) < strictness(best.verdict);
    const bool newer = strictness(v) == strictness(best.verdict) && best.by && r.place < place;
    if (!stricter && !newer) continue;
    best = {v, r.filter};
    place = r.place;
  }
  return best;
}

}  // namespace usk::seccomp
