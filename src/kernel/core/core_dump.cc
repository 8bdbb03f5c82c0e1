#include "kernel/core/core_dump.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "fs/vfs/saving.h"
#include "kernel/kernel.h"
#include "kernel/signal/send.h"

namespace usk {
namespace {

using platform::kPageSize;

// What one step does at most: areas or pages looked at, bytes read.
constexpr int kLooksPerStep = 32;
constexpr size_t kBytesPerStep = 1 << 20;
constexpr size_t kThreadsPerStep = 64;
constexpr size_t kMostThreads = size_t(1) << 22;  // PID_MAX_LIMIT

Elf64_Ehdr elf_header(size_t program_headers) {
  Elf64_Ehdr e{};
  memcpy(e.e_ident, ELFMAG, SELFMAG);
  e.e_ident[EI_CLASS] = ELFCLASS64;
  e.e_ident[EI_DATA] = ELFDATA2LSB;
  e.e_ident[EI_VERSION] = EV_CURRENT;
  e.e_ident[EI_OSABI] = ELFOSABI_NONE;
  e.e_type = ET_CORE;
  e.e_machine = EM_X86_64;
  e.e_version = EV_CURRENT;
  e.e_phoff = sizeof e;
  e.e_ehsize = sizeof e;
  e.e_phentsize = sizeof(Elf64_Phdr);
  e.e_phnum = Elf64_Half(program_headers);
  return e;
}

Elf64_Phdr area_header(const CoreArea& area, uint64_t offset) {
  const Vma& v = area.vma();
  Elf64_Phdr p{};
  p.p_type = PT_LOAD;
  p.p_offset = offset;
  p.p_vaddr = v.start;
  p.p_filesz = area.length();
  p.p_memsz = v.length();
  p.p_flags = (v.prot & PROT_READ ? PF_R : 0u) | (v.prot & PROT_WRITE ? PF_W : 0u) |
              (v.prot & PROT_EXEC ? PF_X : 0u);
  p.p_align = kPageSize;
  return p;
}

bool is_zero(std::span<const std::byte> page) {
  return page.front() == std::byte{} && memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
}

}  // namespace

USK_SAVED(CoreDump, "kernel/core_dump")

OrFailure<std::unique_ptr<CoreDump>> CoreDump::make_saved(state::Fields& in) {
  Task* dumper = TRY(in.value<Task*>("dumper"));
  if (!dumper) return fail("a core dump of nobody");
  return std::make_unique<CoreDump>(*dumper, TRY(in.value<siginfo_t>("info")));
}

OrFailure<void> CoreDump::restored(state::Restored&) {
  if (dumper_->group->core_dump.get() != this) return fail("a core dump of another process");
  const bool has_begun = phase_ != Phase::kGather;
  if (has_begun && (!out_ || !out_->is_whole() || threads_.empty() ||
                    std::ranges::count(threads_, Ref<Task>()))) {
    return fail("a core dump without its parts");
  }
  return {};
}

void CoreDump::begin(Task& t, const siginfo_t& info) {
  ThreadGroup& g = *t.group;
  if (g.exiting) return;
  begin_group_exit(g, info.si_signo);
  if (t.mm && t.mm->dumpable) g.core_dump = std::make_shared<CoreDump>(t, info);
}

bool CoreDump::holds(Task& t) {
  if (&t == dumper_) return false;
  arrived_.insert(&t);
  dumper_->kernel.scheduler.kick(*dumper_);
  return true;
}

void CoreDump::interrupt() {
  interrupted_ = true;
  dumper_->kernel.scheduler.kick(*dumper_);
}

bool CoreDump::threads_are_missing() {
  for (Task* t : dumper_->group->tasks) {
    if (t != dumper_ && !t->exiting && !arrived_.contains(t)) return true;
  }
  return false;
}

CoreDump::Next CoreDump::step() {
  {
    Lock lock(task_mutex);
    if (interrupted_) return Next::kDone;
    if (phase_ == Phase::kGather && threads_are_missing()) return Next::kWait;
  }
  if (out_ && !out_->flush()) {
    dumper_->waits().clear();
    dumper_->waits().add_file(Ref<File>::share(&out_->file()), POLLOUT | POLLERR);
    if (!out_->flush()) return Next::kWait;
  }
  switch (phase_) {
    case Phase::kGather: return gather();
    case Phase::kPlan: plan(); break;
    case Phase::kHeaders: write_headers(); break;
    case Phase::kNotes: write_notes(); break;
    case Phase::kAreas: write_area(); break;
    case Phase::kFinish:
      out_->finish();
      phase_ = is_pipe_ ? Phase::kReader : Phase::kDone;
      break;
    case Phase::kReader: return wait_for_reader();
    case Phase::kDone: return Next::kDone;
  }
  if (out_->ended()) phase_ = Phase::kDone;
  return Next::kMore;
}

CoreDump::Next CoreDump::gather() {
  dumpable_ = mm().dumpable;
  {
    Lock lock(task_mutex);
    limit_ = dumper_->limit(RLIMIT_CORE);
    threads_.push_back(Ref<Task>::share(dumper_));
    for (Task* t : dumper_->group->tasks) {
      if (arrived_.contains(t) && threads_.size() < kMostThreads) {
        threads_.push_back(Ref<Task>::share(t));
      }
    }
  }
  if (!open()) return Next::kDone;
  for (Vma& v : mm().areas()) areas_.emplace_back(std::move(v));
  phase_ = Phase::kPlan;
  return Next::kMore;
}

void CoreDump::plan() {
  const uint32_t filter = mm().dump_filter;
  for (int looks = 0; area_ < areas_.size(); looks++) {
    if (looks == kLooksPerStep) return;
    if (areas_[area_].plan(mm(), filter)) area_++;
  }
  std::vector<Vma> mapped;
  mapped.reserve(areas_.size());
  for (const CoreArea& a : areas_) mapped.push_back(a.vma());
  add_process_notes(process_notes_, *dumper_, info_, mapped);
  phase_ = Phase::kHeaders;
}

void CoreDump::write_headers() {
  NoteBytes bytes;
  const auto add = [&](const auto& v) {
    const auto b = std::as_bytes(std::span(&v, 1));
    bytes.insert(bytes.end(), b.begin(), b.end());
  };
  const size_t count = areas_.size() + 1;
  add(elf_header(count));
  Elf64_Phdr notes{};
  notes.p_type = PT_NOTE;
  notes.p_offset = sizeof(Elf64_Ehdr) + count * sizeof(Elf64_Phdr);
  notes.p_filesz = process_notes_.size() + threads_.size() * thread_notes_size();
  notes.p_align = 4;
  add(notes);
  uint64_t offset = page_up(notes.p_offset + notes.p_filesz);
  for (const CoreArea& a : areas_) {
    add(area_header(a, offset));
    offset += a.length();
  }
  out_->put(bytes);
  phase_ = Phase::kNotes;
}

void CoreDump::write_notes() {
  NoteBytes bytes;
  const size_t end = std::min(threads_.size(), thread_ + kThreadsPerStep);
  for (; thread_ < end; thread_++) {
    Task& t = *threads_[thread_];
    add_status_note(bytes, t, info_.si_signo);
    if (thread_ == 0) {
      bytes.insert(bytes.end(), process_notes_.begin(), process_notes_.end());
    }
    add_fpu_notes(bytes, t);
  }
  out_->put(bytes);
  if (thread_ < threads_.size()) return;
  const uint64_t all = sizeof(Elf64_Ehdr) + (areas_.size() + 1) * sizeof(Elf64_Phdr) +
                       process_notes_.size() + threads_.size() * thread_notes_size();
  out_->skip(page_up(all) - all);
  area_ = 0;
  at_ = data_end_ = areas_.empty() ? 0 : areas_[0].vma().start;
  phase_ = Phase::kAreas;
}

void CoreDump::write_area() {
  size_t budget = kBytesPerStep;
  for (int looks = 0; area_ < areas_.size() && looks < kLooksPerStep && budget; looks++) {
    if (!out_->is_flushed() || out_->ended()) return;
    CoreArea& a = areas_[area_];
    if (at_ == a.end() || a.length() == 0) {
      if (++area_ < areas_.size()) at_ = data_end_ = areas_[area_].vma().start;
      continue;
    }
    if (data_end_ <= at_) {
      const auto run = a.next_data(mm(), at_);
      out_->skip(run.start - at_);
      at_ = run.start;
      data_end_ = std::min(run.end, a.end());
      if (!out_->is_flushed()) return;
    }
    const uint64_t end = std::min(data_end_, at_ + CoreFile::kMostAtOnce);
    if (end > at_ && !write_run(at_, end)) return;
    budget -= std::min<size_t>(budget, end - at_);
    at_ = end;
  }
  if (area_ == areas_.size()) phase_ = Phase::kFinish;
}

// Pages that cannot be read (a file that has become shorter) and pages of zeros become holes.
bool CoreDump::write_run(uint64_t start, uint64_t end) {
  std::vector<std::byte> chunk(end - start);
  for (size_t done = 0; done < chunk.size();) {
    const auto n = mm().read_forced(start + done, std::span(chunk).subspan(done));
    done += n && *n ? *n : kPageSize - done % kPageSize;
  }
  if (!out_->has_holes()) {
    out_->put(chunk);
    return true;
  }
  const auto page = [&](size_t at) { return std::span(chunk).subspan(at, kPageSize); };
  for (size_t at = 0; at < chunk.size();) {
    size_t next = at;
    while (next < chunk.size() && is_zero(page(next))) next += kPageSize;
    if (next > at) out_->skip(next - at);
    at = next;
    while (next < chunk.size() && !is_zero(page(next))) next += kPageSize;
    if (next > at) out_->put(std::span(chunk).subspan(at, next - at));
    at = next;
  }
  return !out_->ended();
}

Step DumpCore::run(Task& t) {
  std::shared_ptr<CoreDump> dump;
  {
    Lock lock(task_mutex);
    dump = t.group->core_dump;
  }
  switch (dump->step()) {
    case CoreDump::Next::kMore: return Yield{DumpCore{}};
    case CoreDump::Next::kWait: return Park{DumpCore{}, {}};
    case CoreDump::Next::kDone: break;
  }
  t.waits().clear();
  Lock lock(task_mutex);
  ThreadGroup& g = *t.group;
  if (dump->has_written()) g.exit_status |= 0x80;
  t.exit_status = g.exit_status;
  g.core_dump.reset();
  for (Task* other : g.tasks) {
    if (other != &t) t.kernel.scheduler.kick(*other);
  }
  return Exit{};
}

}  // namespace usk
