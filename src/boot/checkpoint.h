// A whole sandbox as an image: usk checkpoint, usk restore.
#pragma once
#include <functional>

#include "boot/config.h"
#include "fs/tty/tty.h"
#include "fs/vfs/walk.h"
#include "kernel/kernel.h"
#include "state/image/image.h"

namespace usk {

// What of a sandbox is saved beside its kernel. Only pointers and numbers of the guest's.
struct SandboxState {
  Ref<ThreadGroup> main;  // The command, whose end is the sandbox's.
  Path root;              // Where commands from outside start, as whom and with which mounts.
  Ref<const Creds> creds;
  Ref<MountNamespace> mounts;
  Ref<Tty> console;  // Null: the sandbox was started without a terminal.
  USK_FIELDS(main, root, creds, mounts, console)
};

inline constexpr const char* kStatePart = "state";
inline constexpr const char* kMemoryPart = "memory";
inline constexpr const char* kConfigPart = "config";
// The parts of an image; descriptors of its files, the manifest's last, as they are handed from one
// process to another.
inline constexpr std::string_view kImageParts[] = {"state", "memory", "config", "contents",
                                                   "contents-table"};
state::ImageWriter::Files given_files(const std::vector<int>& fds);

// How the sandbox was made, as far as it still matters: the part "config".
std::string to_text(const SandboxConfig& config);
OrFailure<SandboxConfig> parse_config(const std::string& text);
OrFailure<SandboxConfig> read_config(const state::Image& image);

struct ReadyImage {
  state::Image image;
  Ref<PageSource> arriving = {};  // Of its memory, if it is not all there.
};

// How a sandbox is to run on.
struct RestoreRequest {
  std::string dir;                   // The image ...
  std::optional<ReadyImage> memory;  // ... or this one, that nobody else has, ...
  // ... or one that is still being made: its configuration, and what waits for the rest. What does
  // not depend on that is done meanwhile.
  std::optional<SandboxConfig> config;
  std::function<OrFailure<ReadyImage>()> wait;
  bool forked = false;         // It is of a sandbox that runs on.
  bool allow_changed = false;  // Files of the host may have other contents than they had.
  bool frozen_clock = false;   // CLOCK_REALTIME goes on from where it was; else it is the present.
  bool paused = false;         // It stands still until usk resume.
  bool verify = false;         // All of the image is read and compared first.
};

// What takes the place of the descriptors that the saved sandbox had been given.
struct RestoreServices {
  std::shared_ptr<HostPoller> poller;
  bool allow_changed = false;
  Ref<PageSource> arriving = {};
  // What they are mapped from, if not from the image itself.
  Ref<HostFd> memory = {};
};
// Fills a kernel that has no tasks yet. They run on from where they were.
OrFailure<SandboxState> read_image(Kernel& kernel, const state::Image& image,
                                   const RestoreServices& services);

}  // namespace usk
