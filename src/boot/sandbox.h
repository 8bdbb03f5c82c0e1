// One sandbox from its start to its end.
#pragma once
#include <memory>

#include "base/failure.h"
#include "boot/autosave.h"
#include "boot/checkpoint.h"
#include "boot/config.h"
#include "boot/image_job.h"
#include "boot/self_images.h"
#include "boot/start.h"
#include "boot/unpacking.h"
#include "control/server.h"
#include "enforce/enforcer.h"
#include "fs/hostio/host_terminal.h"
#include "image/root_image.h"
#include "kernel/kernel.h"
#include "syscalls/trace.h"

namespace usk {

class Sandbox {
 public:
  // Sets everything up; the command is loaded but has not run yet.
  static OrFailure<std::unique_ptr<Sandbox>> make(const SandboxConfig& config);
  // One that runs on from an image. Of `config`, what concerns the host: name, platform, trace.
  static OrFailure<std::unique_ptr<Sandbox>> restore(const SandboxConfig& config,
                                                     const RestoreRequest& request);
  ~Sandbox();
  // Runs until the command has ended. Its wait status.
  int run();
  Kernel& kernel() { return *kernel_; }
  // What others can see goes: its entry, its log, its hold on directories. Once it has ended.
  void close();

 private:
  explicit Sandbox(const SandboxConfig& config) : config_(config) {}
  OrFailure<void> assemble();
  // Without an image: the one that the request waits for.
  OrFailure<void> assemble_from(std::optional<ReadyImage> opened, const RestoreRequest& request);
  OrFailure<SandboxState> load_state(const ReadyImage& opened, const RestoreRequest& request);
  void set_clocks(const state::Manifest& image, bool frozen);
  // What both need before there are tasks.
  OrFailure<void> make_kernel();
  // Either while all stand still, or behind them.
  OrFailure<void> checkpoint(CheckpointRequest request);
  OrFailure<state::ImageWriter> writer_for(CheckpointRequest& request);
  std::unique_ptr<CheckpointJob> begin_checkpoint(CheckpointRequest request,
                                                  std::function<void(OrFailure<void>)> done);
  OrFailure<std::unique_ptr<ImageJob>> begin_image(state::ImageWriter image, ImageJob::Then then,
                                                   const TellConfig& tell = {});
  // --autosave, --checkpoints.
  OrFailure<void> start_images();
  OrFailure<void> plan_autosave();
  // What of the image was not compared yet, and memory that is not unpacked: behind all else, or
  // now.
  OrFailure<void> begin_check(const state::Image& image, const RestoreRequest& request);
  void read_image_behind();
  OrFailure<bool> read_more();
  void finish_image();
  // Whether the sandbox was saved, or could not be.
  bool autosave();
  OrFailure<void> load_root();
  void find_home();
  OrFailure<void> make_host_side();
  OrFailure<void> start_trace();
  OrFailure<void> open_trace();
  OrFailure<void> make_policy();
  void start_policy();
  void take_console(Ref<Tty> console);
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
  std::unique_ptr<CallTrace> trace_;    // --trace
  std::unique_ptr<Enforcer> enforcer_;  // Null: without a policy.
  WalkContext root_;                    // Where commands from outside start.
  Ref<ThreadGroup> main_;
  std::unique_ptr<Registration> entry_;  // Until control_ has it.
  std::unique_ptr<EpollWatcher> watcher_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<SelfImages> images_;
  std::optional<AutosavePlan> autosave_;
  Ref<UnpackedPages> unpacking_;  // Null: all memory is there.
  std::optional<state::ImageCheck> checking_;
  bool damaged_ = false;          // What it was restored from.
  bool has_begun_ = true;         // Not so: it was restored, and has not run since.
  std::function<void()> begins_;  // What is due before it runs on.
  int exit_code_ = 0;             // Not 0: a checkpoint was its end.
};

}  // namespace usk
