// One sandbox from its start to its end.
#pragma once
#include <memory>

#include "base/failure.h"
#include "boot/config.h"
#include "boot/start.h"
#include "control/server.h"
#include "fs/hostio/host_terminal.h"
#include "image/root_image.h"
#include "kernel/kernel.h"
#include "syscalls/trace.h"

namespace usk {

class Sandbox {
 public:
  // Sets everything up; the command is loaded but has not run yet.
  static OrFailure<std::unique_ptr<Sandbox>> make(const SandboxConfig& config);
  ~Sandbox();
  // Runs until the command has ended. Its wait status.
  int run();
  Kernel& kernel() { return *kernel_; }

 private:
  explicit Sandbox(const SandboxConfig& config) : config_(config) {}
  OrFailure<void> assemble();
  OrFailure<void> load_root();
  void find_home();
  OrFailure<void> make_host_side();
  OrFailure<void> start_trace();
  OrFailure<void> make_init(const WalkContext& root);
  OrFailure<void> register_self();
  OrFailure<void> start_control();
  CommandSpec command_spec() const;
  OrFailure<ExecStarted> exec(ExecRequest request);
  void end_all();

  SandboxConfig config_;  // With what an image adds to it.
  std::optional<RootImage> image_;
  UniqueFd trace_file_;
  Ref<TimerClient> timeout_;
  std::shared_ptr<HostPoller> poller_;
  Ref<HostTerminal> terminal_;  // Null: the sandbox was started without one.
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<CallTrace> trace_;  // --trace
  WalkContext root_;                  // Where commands from outside start.
  Ref<ThreadGroup> main_;
  std::unique_ptr<Registration> entry_;  // Until control_ has it.
  std::unique_ptr<EpollWatcher> watcher_;
  std::unique_ptr<ControlServer> control_;
};

}  // namespace usk
