#include "kernel/seccomp/filter.h"

#include "fs/vfs/saving.h"
#include "kernel/seccomp/decisions.h"

static auto saved_parts(sock_filter& v) { return std::tie(v.code, v.jt, v.jf, v.k); }

namespace usk::seccomp {

USK_SAVED(Filter, "kernel/seccomp/filter")
namespace {

// Linux: 256 KB of instructions for all filters of a task, each of which counts four more.
constexpr size_t kMaxTotalLength = (1 << 18) / sizeof(sock_filter);
constexpr size_t kLengthPerFilter = 4;

}  // namespace

Result<Ref<Filter>> Filter::make(Program program, uint32_t flags) {
  TRY(check_program(program));
  Charge charge;
  const size_t size = sizeof(Filter) + sizeof(Decisions) + sizeof(NotifyQueue);
  if (!charge.set(size + 2 * program.size() * sizeof(sock_filter))) return Err(ENOMEM);
  return make_ref<Filter>(std::move(program), flags, std::move(charge));
}

OrFailure<Ref<Filter>> Filter::make_saved(state::Fields& in) {
  auto filter = make(TRY(in.value<Program>("program")),
                     TRY(in.value<bool>("log")) ? SECCOMP_FILTER_FLAG_LOG : 0);
  if (!filter) return fail("a filter that cannot be installed");
  return std::move(*filter);
}

// What it knows of its chain, whose length is limited.
OrFailure<void> Filter::restored(state::Restored&) {
  std::vector<Filter*> chain;
  for (Filter* f = this; f; f = f->prev_.get()) {
    chain.push_back(f);
    if (chain.size() > kMaxTotalLength) return fail("filters in a circle");
  }
  for (auto f = chain.rbegin(); f != chain.rend(); ++f) {
    const Ref<Filter> before = (*f)->prev_;
    if (!(*f)->put_before(before)) return fail("more filters than a task may have");
  }
  return {};
}

Filter::Filter(Program program, uint32_t flags, Charge charge)
    : program_(std::move(program)),
      fast_program_(program_),
      log_(flags & SECCOMP_FILTER_FLAG_LOG),
      reads_ip_(reads_ip(program_)),
      counted_length_(counted_length(program_)),
      notify_queue_(
          flags & SECCOMP_FILTER_FLAG_NEW_LISTENER
              ? make_ref<NotifyQueue>(bool(flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV))
              : Ref<NotifyQueue>()),
      charge_(std::move(charge)),
      total_length_(counted_length_),
      any_reads_ip_(reads_ip_),
      decisions_(std::make_unique<Decisions>()) {}

// One after the other: a chain is too long for a destructor within a destructor.
Filter::~Filter() {
  Ref<Filter> next = std::move(prev_);
  while (next && next->ref_count() == 1) next = std::move(next->prev_);
}

Result<void> Filter::put_before(const Ref<Filter>& newest) {
  const size_t before = newest ? newest->total_length_ + kLengthPerFilter : 0;
  if (counted_length_ + before > kMaxTotalLength) return Err(ENOMEM);
  prev_ = newest;
  depth_ = 1 + (newest ? newest->depth_ : 0);
  total_length_ = counted_length_ + before;
  any_reads_ip_ = reads_ip_ || (newest && newest->any_reads_ip_);
  return {};
}

bool Filter::descends_from(const Filter* other) const {
  if (!other) return true;
  for (const Filter* f = this; f; f = f->prev_.get()) {
    if (f == other) return true;
  }
  return false;
}

const Filter* Filter::nth(size_t n) const {
  const Filter* f = this;
  while (f && n-- > 0) f = f->prev_.get();
  return f;
}

Judgement Filter::judge(const seccomp_data& data) const { return decisions_->judge(*this, data); }

void Filter::drop_user(Filter* newest) {
  for (Filter* f = newest; f && --f->users_ == 0; f = f->prev_.get()) {
    if (f->notify_queue_) f->notify_queue_->hang_up();
  }
}

}  // namespace usk::seccomp
