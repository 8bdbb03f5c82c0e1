// The control socket's kernel side. Runs in the kernel's loop, between steps of tasks.
//
// A request is {"op": NAME, ...}; its answer has "error" (and "code") or what was asked for:
//   ps, stats             report.h
//   kill {signal}         to the main command; 9 ends the sandbox, and is answered once it is gone
//   pause, resume         {} once all stands still, or goes on. While it is paused, exec and debug
//     are refused; signals but 9 wait for resume.
//   wait                  {exit} when the sandbox has ended
//   exec {argv, env, cwd, user} and three descriptors: {started}, later {exit}; in between,
//     signal {signal} goes to the program. A lost connection is a hang-up (SIGHUP).
//     With terminal {rows, columns} there is one descriptor, a socket that carries what is typed
//     and shown on a new terminal, and closes behind the last that was shown; resize {rows,
//     columns} changes its size.
//   why {last}            {denials}: the last of them, each with its text and its entry
//   policy {command}      {} once the policy has obeyed the command
//   find {pid}            {pid} of the process that debug and trace would be about (0: the command)
//   debug {pid} and one descriptor, a socket: {debugging}, and gdb's protocol is served on it until
//     either side ends that: {ended}
//   trace {pid, calls} and one descriptor, a socket: {tracing}; its lines go there. `calls` are
//     names; none: all. pid 0: all processes.
//   checkpoint {leave_running, parts, compress, hash_files} and a descriptor for each part and the
//   manifest: {}
//     once the image is whole. With base {path, checksum}, one more with hashes of the base's
//     pages. Unless it is left running, the sandbox then waits for end, which ends it as kill 9
//     does, or for the end of the connection, after which it goes on. With board, one more for a
//     board (boot/arrival.h): {begun} comes before {}, once all but the memory is written.
//   Debugging and tracing end with the connection.
// "exit" is an exit code as a shell shows it.
#pragma once
#include <array>
#include <functional>
#include <list>
#include <memory>

#include "base/failure.h"
#include "base/timer.h"
#include "control/message.h"
#include "control/registry.h"
#include "control/watcher.h"
#include "enforce/denial.h"
#include "fs/hostio/remote_terminal.h"
#include "kernel/kernel.h"
#include "state/image/image.h"

namespace usk {

struct ExecRequest {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // Beside the sandbox's own, which it overrides.
  std::string cwd, user;         // Empty: the sandbox's own.
  std::array<Ref<HostFd>, 3> streams;
  std::optional<winsize> terminal;  // The first of `streams` carries a terminal of this size.
};
struct ExecStarted {
  Ref<ThreadGroup> program;
  Ref<RemoteTerminal> terminal;  // Null without one.
};
// The part of an image that says how the sandbox was made.
using TellConfig = std::function<void(const std::string& config)>;
struct CheckpointRequest {
  state::ImageWriter::Files files;
  state::ImageForm form;
  bool leave_running = false;  // Nothing stands still while its memory is written.
  Ref<HostFd> board;           // Who asked reads meanwhile (boot/arrival.h); or null.
  TellConfig tell_config;      // Called before anything stands still; or null.
};
// An image that is being written; whoever drops it gives it up.
class CheckpointJob {
 public:
  virtual ~CheckpointJob() = default;
};
// `done` is called once, possibly at once, unless the job is dropped before.
using CheckpointHook = std::function<std::unique_ptr<CheckpointJob>(
    CheckpointRequest, std::function<void(OrFailure<void>)> done)>;
using ExecHook = std::function<OrFailure<ExecStarted>(ExecRequest)>;

class ControlServer {
 public:
  // Registers the sandbox and serves it; `main` is its command.
  static OrFailure<std::unique_ptr<ControlServer>> make(Kernel& kernel, Watcher& watcher,
                                                        std::unique_ptr<Registration> entry,
                                                        Ref<ThreadGroup> main, ExecHook exec,
                                                        CheckpointHook checkpoint);
  ~ControlServer();
  // Where the denials of the sandbox's policy are.
  void set_denials(std::function<std::vector<Denial>()> denials) { denials_ = std::move(denials); }
  // Who obeys commands to the policy.
  using PolicyHook = std::function<OrFailure<void>(std::string_view command)>;
  void set_policy(PolicyHook policy) { policy_ = std::move(policy); }
  // The sandbox has ended: unregisters it and tells all who wait.
  void finish(int wait_status);

 private:
  struct Client;
  class ExitEvent;
  class Retry;
  ControlServer(Kernel& kernel, Watcher& watcher, std::unique_ptr<Registration> entry,
                Ref<ThreadGroup> main, ExecHook exec, CheckpointHook checkpoint);
  Result<void> watch_listener();
  Result<UniqueFd> accept_one();
  void accept_clients();
  void serve(Client& c);
  void answer(Client& c, const Json& request);
  void set_paused(Client& c, bool paused);
  void run_exec(Client& c, const Json& request);
  // Answers if it is paused.
  bool is_paused(Client& c);
  // The process that a request names, 0: the command; answers if there is none.
  Ref<ThreadGroup> find_process(Client& c, const Json& request);
  void run_debug(Client& c, const Json& request);
  void run_trace(Client& c, const Json& request);
  void run_checkpoint(Client& c, const Json& request);
  void hold(Client& c);
  void tell_why(Client& c, const Json& request);
  void tell_policy(Client& c, const Json& request);
  void kill_main(Client& c, int signal);
  void forward_signal(Client& c, int signal);
  void report_exits();
  void reply(Client& c, const Json& message);
  void flush(Client& c);
  void close_client(Client& c);

  Kernel& kernel_;
  Watcher& watcher_;
  std::unique_ptr<Registration> entry_;
  Ref<ThreadGroup> main_;
  const ExecHook exec_;
  const CheckpointHook checkpoint_;
  std::function<std::vector<Denial>()> denials_;  // Empty: there is no policy.
  PolicyHook policy_;
  // One descriptor is kept back: a guest that uses up all others shall not keep us from a person
  // who wants to end it.
  UniqueFd spare_;
  Ref<TimerClient> retry_;
  UniqueFd exit_event_fd_;
  Ref<ExitEvent> exit_event_;
  std::list<std::unique_ptr<Client>> clients_;
};

}  // namespace usk
