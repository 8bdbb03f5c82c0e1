#include "fs/proc/maps_of_ids.h"

#include <fmt/format.h>
#include <linux/capability.h>

#include <charconv>

namespace usk::proc {
namespace {

Result<Ref<UserNamespace>> namespace_for(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  Lock lock(task_mutex);
  return t->creds->user_ns;
}

// Ids outside are shown as the reader's namespace has them; a reader of the namespace itself sees
// those of the parent.
Result<std::string> map_text(const Subject& s, bool groups) {
  const Ref<UserNamespace> ns = TRY(namespace_for(s));
  const Task* reader = current_task();
  if (!reader) return Err(ESRCH);
  const UserNamespace* outer = reader->creds->user_ns.get();
  if (outer == ns.get() && ns->parent()) outer = ns->parent().get();
  std::string out;
  for (const IdExtent& e : groups ? ns->gid_map() : ns->uid_map()) {
    const bool known = groups ? outer->maps_gid(e.outside) : outer->maps_uid(e.outside);
    const uint32_t from = !known   ? UINT32_MAX
                          : groups ? outer->gid_out(e.outside)
                                   : outer->uid_out(e.outside);
    out += fmt::format("{:10} {:10} {:10}\n", e.inside, from, e.count);
  }
  return out;
}

Result<uint32_t> take_number(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  uint32_t v = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), v);
  if (error != std::errc()) return Err(EINVAL);
  line.remove_prefix(size_t(end - line.data()));
  return v;
}

bool overlap(uint32_t a, uint32_t b, uint32_t a_count, uint32_t b_count) {
  return uint64_t(a) < uint64_t(b) + b_count && uint64_t(b) < uint64_t(a) + a_count;
}

Result<std::vector<IdExtent>> parse_map(std::string_view text) {
  constexpr size_t kMostLines = 340;
  std::vector<IdExtent> out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    IdExtent e;
    e.inside = TRY(take_number(line));
    e.outside = TRY(take_number(line));
    e.count = TRY(take_number(line));
    if (line.find_first_not_of(" \t") != line.npos) return Err(EINVAL);
    const uint64_t limit = UINT32_MAX;  // -1 is no id.
    if (e.count == 0 || e.inside + uint64_t(e.count) > limit ||
        e.outside + uint64_t(e.count) > limit) {
      return Err(EINVAL);
    }
    for (const IdExtent& o : out) {
      if (overlap(e.inside, o.inside, e.count, o.count) ||
          overlap(e.outside, o.outside, e.count, o.count)) {
        return Err(EINVAL);
      }
    }
    out.push_back(e);
    if (out.size() > kMostLines) return Err(EINVAL);
  }
  if (out.empty()) return Err(EINVAL);
  return out;
}

// Without the capability in the parent: one line that maps the writer's own id, by the owner of
// the namespace; groups only once setgroups(2) is denied.
Result<void> check_may_map(const Creds& writer, const UserNamespace& ns,
                           const std::vector<IdExtent>& map, bool groups) {
  if (!writer.capable(CAP_SYS_ADMIN, ns)) return Err(EPERM);
  const UserNamespace& parent = *ns.parent();
  const bool inside = writer.user_ns.get() == &ns;
  if (!inside && writer.user_ns.get() != &parent) return Err(EPERM);
  if (map.size() == 1 && map[0].count == 1 && ns.owner() == writer.euid) {
    const auto id = groups ? parent.gid_in(map[0].outside) : parent.uid_in(map[0].outside);
    if (id && *id == (groups ? writer.egid : writer.euid) && (!groups || !ns.setgroups_allowed)) {
      return {};
    }
  }
  return writer.capable(groups ? CAP_SETGID : CAP_SETUID, parent) ? Result<void>()
                                                                  : Result<void>(Err(EPERM));
}

Result<void> write_map(const Subject& s, std::string_view text, bool groups) {
  const Ref<UserNamespace> ns = TRY(namespace_for(s));
  const Task* writer = current_task();
  if (!writer || !ns->parent()) return Err(EPERM);
  if (!(groups ? ns->gid_map() : ns->uid_map()).empty()) return Err(EPERM);
  const std::vector<IdExtent> map = TRY(parse_map(text));
  TRY(check_may_map(*writer->creds, *ns, map, groups));
  const bool done = groups ? ns->set_gid_map(map) : ns->set_uid_map(map);
  return done ? Result<void>() : Result<void>(Err(EPERM));
}

}  // namespace

Result<std::string> uid_map_text(const Subject& s) { return map_text(s, false); }
Result<std::string> gid_map_text(const Subject& s) { return map_text(s, true); }
Result<void> write_uid_map(const Subject& s, std::string_view text) {
  return write_map(s, text, false);
}
Result<void> write_gid_map(const Subject& s, std::string_view text) {
  return write_map(s, text, true);
}

Result<std::string> setgroups_text(const Subject& s) {
  return std::string(TRY(namespace_for(s))->setgroups_allowed ? "allow\n" : "deny\n");
}

// "deny" only before the group map is there, and never back to "allow".
Result<void> write_setgroups(const Subject& s, std::string_view text) {
  const Ref<UserNamespace> ns = TRY(namespace_for(s));
  const Task* writer = current_task();
  if (!writer || !writer->creds->capable(CAP_SYS_ADMIN, *ns)) return Err(EPERM);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  if (text == "allow") return ns->setgroups_allowed ? Result<void>() : Result<void>(Err(EPERM));
  if (text != "deny") return Err(EINVAL);
  if (!ns->gid_map().empty() && ns->setgroups_allowed) return Err(EPERM);
  ns->setgroups_allowed = false;
  return {};
}

}  // namespace usk::proc
