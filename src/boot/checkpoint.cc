#include "boot/checkpoint.h"

#include <fmt/format.h>
#include <string.h>

#include "boot/image_parts.h"
#include "boot/stdio.h"
#include "control/message.h"
#include "fs/hostfs/hostfs.h"
#include "fs/hostio/host_channel.h"
#include "kernel/saved.h"
#include "state/image/contents.h"
#include "state/singletons.h"

namespace usk {
namespace {

Json to_json(const std::vector<MountSpec>& mounts) {
  Json all = Json::array();
  for (const MountSpec& m : mounts) {
    all.push_back({{"kind", int(m.kind)}, {"source", m.source}, {"target", m.target}});
  }
  return all;
}

std::vector<MountSpec> mounts_of(const Json& config) {
  std::vector<MountSpec> mounts;
  const auto all = config.find("mounts");
  if (all == config.end() || !all->is_array()) return mounts;
  for (const Json& m : *all) {
    const int64_t kind = m.is_object() ? number_of(m, "kind", -1) : -1;
    if (kind < 0 || kind > int(MountSpec::Kind::kTmpfs)) continue;
    mounts.push_back({MountSpec::Kind(kind), text_of(m, "source"), text_of(m, "target")});
  }
  return mounts;
}

}  // namespace

std::string to_text(const SandboxConfig& c) {
  return to_text(Json{{"command", c.command},
                      {"env", c.env},
                      {"cwd", c.cwd},
                      {"user", c.user},
                      {"hostname", c.hostname},
                      {"root", c.root},
                      {"mounts", to_json(c.mounts)},
                      {"memory", c.memory},
                      {"pids", c.pids},
                      {"policy", c.saved_policy},
                      {"seccomp_stop_order", c.old_seccomp_order ? "3.5" : "4.8"}},
                 1);
}

state::ImageWriter::Files given_files(const std::vector<int>& fds) {
  state::ImageWriter::Files files;
  for (size_t i = 0; i < fds.size() && i <= std::size(kImageParts); i++) {
    const bool is_part = i < std::size(kImageParts);
    files.emplace_back(is_part ? kImageParts[i] : "manifest", make_ref<HostFd>(fds[i]));
  }
  return files;
}

OrFailure<SandboxConfig> read_config(const state::Image& image) {
  return parse_config(TRY(image.read(kConfigPart)));
}

OrFailure<SandboxConfig> parse_config(const std::string& text) {
  const auto json = parse_object(text);
  if (!json) return fail(fmt::format("image part {}: not a JSON object", kConfigPart));
  SandboxConfig c;
  c.command = texts_of(*json, "command");
  c.env = texts_of(*json, "env");
  c.cwd = text_of(*json, "cwd");
  c.user = text_of(*json, "user");
  c.hostname = text_of(*json, "hostname");
  c.root = text_of(*json, "root");
  c.mounts = mounts_of(*json);
  if (const auto m = json->find("memory"); m != json->end() && m->is_number_unsigned()) {
    c.memory = m->get<uint64_t>();
  }
  c.pids = uint64_t(number_of(*json, "pids"));
  c.saved_policy = text_of(*json, "policy");
  c.old_seccomp_order = text_of(*json, "seccomp_stop_order") == "3.5";
  if (c.command.empty()) return fail(fmt::format("image part {}: no command", kConfigPart));
  return c;
}

OrFailure<SandboxState> read_image(Kernel& kernel, const state::Image& image,
                                   const RestoreServices& services) {
  TRY(check_processor(image.manifest().cpu_features));
  const std::string text = TRY(image.read(kStatePart));
  auto contents = TRY(state::ContentsReader::open(image));
  HostStreams streams{services.poller, open_role};
  HostChanges changes{.allow_changed = services.allow_changed};
  auto in_state = [](const Failure& f) {
    return fail(fmt::format("image part {}: {}", kStatePart, f.message), f.exit_code);
  };
  state::Loader loader;
  loader.services().add(&contents);
  loader.services().add(&streams);
  loader.services().add(&changes);
  state::name_singletons(loader);
  prepare_to_load(kernel, loader);
  SandboxState sandbox;
  if (auto r = loader.load(text); !r) return in_state(r.error());
  if (auto r = state::load_singletons(loader); !r) return in_state(r.error());
  if (auto r = loader.root("kernel", kernel); !r) return in_state(r.error());
  if (auto r = loader.root("sandbox", sandbox); !r) return in_state(r.error());
  const SavedPages pages{services.memory ? services.memory : TRY(image.file(kMemoryPart)),
                         TRY(image.length(kMemoryPart)), services.arriving};
  if (auto r = take_loaded_tasks(kernel, loader, pages); !r) return in_state(r.error());
  if (!sandbox.main || !sandbox.root || !sandbox.creds || !sandbox.mounts) {
    return fail(fmt::format("image part {}: no command", kStatePart));
  }
  return sandbox;
}

}  // namespace usk
