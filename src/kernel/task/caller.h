// A task as files see it (fs/vfs/caller.h).
#pragma once
#include "fs/vfs/caller.h"
#include "kernel/task/task.h"

namespace usk {

class TaskCaller final : public Caller {
 public:
  explicit TaskCaller(Task& t) : t_(t) {}
  const Creds& creds() const override { return *t_.creds; }
  Result<void> copy_in(std::span<std::byte> dst, uint64_t addr) override {
    return t_.mem().copy_in(dst, addr);
  }
  Result<void> copy_out(uint64_t addr, std::span<const std::byte> src) override {
    return t_.mem().copy_out(addr, src);
  }
  SessionId session() override;
  GroupId group() override;
  bool is_session_leader() override;
  bool group_is_orphaned() override;
  bool ignores_or_blocks(int signal) override;
  Ref<Terminal> controlling_terminal() override;
  void set_controlling_terminal(Ref<Terminal> terminal) override;
  int group_to_guest(GroupId id) override;
  GroupId group_from_guest(int id) override;
  SessionId session_of_group(GroupId id) override;
  int process() override { return t_.group->pid->root_nr(); }
  int process_to_guest(int id) override { return group_to_guest(id); }
  Result<int> add_fd(Ref<File> file, bool cloexec) override {
    return t_.add_fd(std::move(file), cloexec);
  }

 private:
  Task& t_;
};

// Installs the kernel as what terminals send signals through.
void install_job_control(Kernel& kernel);

}  // namespace usk
