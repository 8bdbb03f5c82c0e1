// What the tables of procfs consist of.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "fs/proc/proc_fs.h"
#include "fs/vfs/inode.h"

namespace usk::proc {

struct Entry;

// Whom a file of procfs is about: a process or thread, or (without pid) the whole system.
class Subject {
 public:
  explicit Subject(ProcFs& fs) : fs_(&fs) {}
  explicit Subject(Blank) : fs_(nullptr) {}
  Subject(ProcFs& fs, const Pid& pid, bool thread)
      : fs_(&fs), number_(pid.nr_in(fs.ns())), serial_(pid.serial()), thread_(thread) {}

  ProcFs& fs() const { return *fs_; }  // Held by the inode that holds this.
  Kernel& kernel() const { return fs_->kernel(); }
  PidNamespace& ns() const { return fs_->ns(); }
  bool is_task() const { return number_ != 0; }
  int number() const { return number_; }
  bool thread() const { return thread_; }  // Below task/: of one thread only.
  // The number of a pid in this instance; 0 when it has none.
  int nr(const Ref<Pid>& pid) const { return pid ? pid->nr_in(ns()) : 0; }

  // Null once it was reaped.
  Task* find() const REQUIRES(task_mutex);
  // The same, as ESRCH.
  Result<Ref<Task>> task() const EXCLUDES(task_mutex);
  // Its memory; null for a zombie and a process without code.
  Result<Ref<AddressSpace>> memory() const EXCLUDES(task_mutex);
  Result<Ref<FdTable>> fds() const EXCLUDES(task_mutex);
  // Whether the reader may look into it: ptrace(2). ESRCH, EACCES.
  Result<void> check_access() const EXCLUDES(task_mutex);
  // The same, and Yama has nothing against his being its tracer. ESRCH, EACCES.
  Result<void> check_attach() const EXCLUDES(task_mutex);

  USK_FIELDS(fs_, number_, serial_, thread_)
  // Of a loaded one: that it is about something in the instance of `inode`.
  OrFailure<void> check(const Inode& inode) const;

 private:
  ProcFs* fs_;
  // Not a Pid: whoever holds one keeps its numbers in use.
  int number_ = 0;
  uint64_t serial_ = 0;
  bool thread_ = false;
};

// A name of a directory. What it is follows from which members are set.
struct Entry {
  std::string_view name;
  uint32_t mode = 0;  // With its type.
  // The text of a file, or where a symbolic link points.
  Result<std::string> (*text)(const Subject&) = nullptr;
  // A write(2) to the file, taken whole.
  Result<void> (*write)(const Subject&, std::string_view) = nullptr;
  // Only for who may access the task (ptrace(2)).
  bool guarded = false;
  // Where a magic link leads.
  Result<Path> (*goal)(const Subject&) = nullptr;
  // A directory's entries.
  std::span<const Entry> children = {};
  // Anything else.
  Ref<Inode> (*make)(const Subject&, Ino, const Entry&) = nullptr;
};

// A table that is not reached from another, under a name for saved files. Made before main().
class NamedTable {
 public:
  NamedTable(std::string_view name, std::span<const Entry> table);
};

// A table or an entry of one, which are saved as their names: tables are part of the program.
class TableRef {
 public:
  TableRef() = default;
  TableRef(std::span<const Entry> table) : table_(table) {}
  std::span<const Entry> entries() const { return table_; }
  template <class A>
  void fields(A& ar) {
    std::string name;
    if constexpr (SavesState<A>) name = this->name();
    ar.all("name", name);
    if constexpr (A::kLoading) {
      if (!ar.failed() && !find(name)) ar.fail("there is no table " + name);
    }
  }

 private:
  std::string name() const;
  bool find(std::string_view name);
  friend class EntryRef;
  std::span<const Entry> table_;
};
class EntryRef {
 public:
  explicit EntryRef(Blank) {}
  EntryRef(const Entry& entry) : entry_(&entry) {}
  const Entry* operator->() const { return entry_; }
  template <class A>
  void fields(A& ar) {
    std::string name;
    if constexpr (SavesState<A>) name = this->name();
    ar.all("name", name);
    if constexpr (A::kLoading) {
      if (!ar.failed() && !find(name)) ar.fail("there is no file " + name);
    }
  }

 private:
  std::string name() const;
  bool find(std::string_view name);
  const Entry* entry_ = nullptr;
};

// The number of `name` below a directory with number `dir`: the same at each look-up.
Ino ino_below(Ino dir, std::string_view name);
Ref<Inode> make_inode(const Subject& s, Ino ino, const Entry& e);
// The entry called `name`, or null.
const Entry* find_entry(std::span<const Entry> table, std::string_view name);
// A decimal number without sign, leading zeros or anything after it; -1 for other text.
int parse_id(std::string_view name);

// A number as C writes it, decimal, 0x... or 0..., and perhaps the end of the line. EINVAL, ERANGE.
Result<uint32_t> parse_uint(std::string_view text);

// The tables.
std::span<const Entry> process_entries();  // /proc/PID
std::span<const Entry> thread_entries();   // /proc/PID/task/TID
std::span<const Entry> system_entries();   // /proc

// Makers of directories with changing contents.
Ref<Inode> make_fd_dir(const Subject& s, Ino ino, const Entry& e);
Ref<Inode> make_fdinfo_dir(const Subject& s, Ino ino, const Entry& e);
Ref<Inode> make_task_dir(const Subject& s, Ino ino, const Entry& e);
Ref<Inode> make_map_files_dir(const Subject& s, Ino ino, const Entry& e);
Ref<Inode> make_mem_file(const Subject& s, Ino ino, const Entry& e);

}  // namespace usk::proc
