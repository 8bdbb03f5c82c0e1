// The core dump of a process: core(5).
#pragma once
#include <optional>
#include <set>

#include "kernel/core/core_area.h"
#include "kernel/core/core_file.h"
#include "kernel/core/notes.h"

namespace usk {

// A dump under way. Made when a thread is to end its process with a signal that dumps; the other
// threads stop in the run state Exit with all they have, the dumper writes in DumpCore, a bounded
// piece at a time, then all end.
class CoreDump {
 public:
  // Ends the process of `t` by this signal; if it may dump, `t` is to do that first.
  static void begin(Task& t, const siginfo_t& info) REQUIRES(task_mutex);

  CoreDump(Task& dumper, const siginfo_t& info) : dumper_(&dumper), info_(info) {}

  bool is_by(const Task& t) const { return &t == dumper_; }
  // A thread waits in Exit until the dump is done; true for any but the dumper.
  bool holds(Task& t) REQUIRES(task_mutex);
  // SIGKILL: what is written stays, the rest does not come, and nobody is told of it.
  void interrupt() REQUIRES(task_mutex);

  // What the dumper does next: go on, wait for its threads or its reader, or it is done.
  enum class Next { kMore, kWait, kDone };
  Next step() EXCLUDES(task_mutex);
  // Whether the wait status is to say so.
  bool has_written() const REQUIRES(task_mutex) { return has_written_ && !interrupted_; }

  static OrFailure<std::unique_ptr<CoreDump>> make_saved(state::Fields& in);
  OrFailure<void> restored(state::Restored&);
  USK_FIELDS(dumper_, info_, dumpable_, limit_, interrupted_, phase_, threads_, areas_,
             process_notes_, out_, thread_, area_, at_, data_end_, has_written_, is_pipe_)

 private:
  enum class Phase { kGather, kPlan, kHeaders, kNotes, kAreas, kFinish, kReader, kDone };

  // Each does a piece of its phase and moves on to the next when it is through. kDone: the dump is.
  Next gather();
  bool open();
  bool open_pipe(const std::vector<std::string>& command);
  void plan();
  void write_headers();
  void write_notes();
  void write_area();
  bool write_run(uint64_t start, uint64_t end);
  Next wait_for_reader();
  bool threads_are_missing() REQUIRES(task_mutex);
  AddressSpace& mm() { return *dumper_->mm; }

  Task* const dumper_;
  const siginfo_t info_;
  int dumpable_ = 0;
  uint64_t limit_ = 0;
  std::set<const Task*> arrived_ GUARDED_BY(task_mutex);  // Derived: they come again.
  bool interrupted_ GUARDED_BY(task_mutex) = false;

  Phase phase_ = Phase::kGather;
  std::vector<Ref<Task>> threads_;  // The dumper first.
  std::vector<CoreArea> areas_;
  NoteBytes process_notes_;
  std::optional<CoreFile> out_;
  size_t thread_ = 0;      // The next to be written.
  size_t area_ = 0;        // The one that is looked at or written ...
  uint64_t at_ = 0;        // ... and how far.
  uint64_t data_end_ = 0;  // Until here, data is known to be there.
  bool has_written_ = false;
  bool is_pipe_ = false;
};

}  // namespace usk
