#include "kernel/seccomp/filter.h"

#include "kernel/seccomp/decisions.h"

namespace usk::seccomp {
namespace {

// Linux: 256 KB of instructions for all filters of a task, each of which counts four more.
constexpr size_t kMaxTotalLength = (1 << 18) / sizeof(sock_filter);
constexpr size_t kLengthPerFilter = 4;

}  // namespace

Result<Ref<Filter>> Filter::make(Program program, uint32_t flags) {
  TRY(check_program(program));
  Charge charge;
  const size_t size = sizeof(Filter) + sizeof(Decisions) + sizeof(NotifyQueue);
  if (!charge.set(size + program.size() * sizeof(sock_filter))) return Err(ENOMEM);
  return make_ref<Filter>(std::move(program), flags, std::move(charge));
}

Filter::Filter(Program program, uint32_t flags, Charge charge)
    : program_(std::move(program)),
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
