// The kernel process gives up what it needs no longer (docs/SECURITY.md). What it gives up are the
// layers; each is promised unless --unsafe-without names it.
#pragma once
#include "base/failure.h"
#include "boot/config.h"
#include "boot/self_images.h"
#include "control/registry.h"
#include "host/namespaces.h"

namespace usk {

// One --unsafe-without may name.
struct Layer {
  const char* name;
  const char* keeps;  // What it keeps the kernel process from.
};
std::span<const Layer> layers();

// First of all: what can be had only as long as nothing is given up. Namespaces, where they are
// wanted and can be had, are under way then.
OrFailure<std::unique_ptr<host::NewNamespaces>> prepare_confinement(const SandboxConfig& config);
// Before the first stub, which shares it: files that are none of the sandbox's, other processes and
// privileges are out of reach. `namespaces` are those of prepare_confinement(); `entry` and
// `images` may be null.
OrFailure<void> isolate_kernel_process(const SandboxConfig& config,
                                       std::unique_ptr<host::NewNamespaces> namespaces,
                                       const Registration* entry, const SelfImages* images);
// A bug ends the process with a line and a report; a watchdog, if one was asked for, watches it.
OrFailure<void> watch_kernel_process(const SandboxConfig& config, const Registration* entry);
// Before anything is read that somebody else made, or any guest code runs: the filter.
OrFailure<void> confine_kernel_process(const SandboxConfig& config);

}  // namespace usk
