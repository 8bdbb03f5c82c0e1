// usk policy, usk audit, usk why; the flags of usk run for them.
#include "cli/policy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <string.h>

#include <optional>
#include <set>

#include "base/log.h"
#include "cli/commands.h"
#include "control/client.h"
#include "enforce/audit.h"
#include "host/environment.h"
#include "host/file.h"
#include "host/file_io.h"
#include "host/random.h"
#include "policy/requests.h"
#include "policy/rule_book.h"
#include "policy/rule_files.h"

namespace usk {
namespace {

using policy::Parsed;

// A regular file, of at most `most` bytes.
Parsed<std::string> read_file(const std::string& path, size_t most = size_t(1) << 30,
                              bool trusted = false) {
  const auto error = [](Errno e) { return std::unexpected(std::string(strerror(int(e)))); };
  auto opened = host::open_readonly(path);
  if (!opened) return error(opened.error());
  const auto fd = make_ref<HostFd>(std::move(*opened));
  const auto st = host::stat_at(*fd, "");
  if (!st) return error(st.error());
  if (!S_ISREG(st->stx_mode)) return std::unexpected("it is no regular file");
  if (trusted && (st->stx_mode & 022)) {
    return std::unexpected("others may write to it, so its rules are not trusted (chmod go-w)");
  }
  std::string text;
  std::vector<std::byte> piece(1 << 16);
  while (text.size() <= most) {
    const auto n = host::pread(*fd, piece, text.size());
    if (!n) return error(n.error());
    if (*n == 0) return text;
    text.append(reinterpret_cast<const char*>(piece.data()), *n);
  }
  return std::unexpected("it is too long");
}

Parsed<std::string> read_rule_file(const std::string& path) {
  return read_file(path, policy::RuleReader::kMaxText, /*trusted=*/true);
}

std::string or_else(const char* name, const char* otherwise) {
  std::string value;
  return host::environment(name, value) && !value.empty() ? value : otherwise;
}

// 64 hexadecimal digits, other ones in each run.
std::string sandbox_id() {
  static const std::string id = [] {
    std::array<uint64_t, 4> words;
    host::fill_random(std::as_writable_bytes(std::span(words)));
    return fmt::format("{:016x}", fmt::join(words, ""));
  }();
  return id;
}

std::optional<std::string> variable(const std::string& name) {
  if (name == "SYD_PWD") {
    const std::string cwd = host::current_directory();
    return cwd.empty() ? "/proc/self/fdinfo" : cwd;
  }
  if (name == "SYD_HOME") return or_else("HOME", "/var/empty");
  if (name == "SYD_USER") return or_else("USER", "nobody");
  if (name == "SYD_UID") return std::to_string(host::real_uid());
  if (name == "SYD_EUID") return std::to_string(host::effective_uid());
  if (name == "SYD_GID") return std::to_string(host::real_gid());
  if (name == "SYD_EGID") return std::to_string(host::effective_gid());
  if (name == "SYD_ID") return sandbox_id();
  if (name == "SYD_PAGE_SIZE") return "4096";
  if (name == "SYD_PIPE_MAX") return "1048576";
  if (name == "SYD_HAVE_SO_PASSRIGHTS") return "0";
  if (name == "SYD_XATTR_MAX") return "65536";
  if (name == "SYD_HAVE_FORCE") return "1";
  std::string value;
  if (host::environment(name, value)) return value;
  return std::nullopt;
}

// Rule files and profiles as this host has them: its files, unless others may write to them, its
// environment with the variables of syd(5), and the names that hosts(5) has.
OrFailure<policy::Surroundings> host_surroundings(const std::string& hosts = "") {
  const auto text = read_file(hosts.empty() ? "/etc/hosts" : hosts, policy::RuleReader::kMaxText);
  if (!text && !hosts.empty()) return fail(fmt::format("{}: {}", hosts, text.error()));
  return policy::Surroundings{.read = read_rule_file,
                              .variable = variable,
                              .hosts = policy::parse_hosts(text.value_or(""))};
}

int check(const std::vector<std::string>& files) {
  const auto around = host_surroundings();
  if (!around) return report(around.error());
  int bad = 0;
  for (const std::string& f : files) {
    policy::Policy p;
    const auto ok = policy::RuleReader(p, *around).load(f);
    for (const std::string& note : p.notes()) fmt::print("{}\n", printable(note));
    if (ok) {
      fmt::print("{}: {} rules, lock {}\n", f, p.rules().size(), policy::name_of(p.lock()));
    } else {
      fmt::print("{}\n", printable(ok.error()));
      bad++;
    }
  }
  return bad ? 1 : 0;
}

int show(const std::string& name) {
  if (name.empty()) {
    for (const policy::ProfileInfo& p : policy::profiles()) {
      fmt::print("{:10} {:2} {}\n", p.name, p.short_name, p.summary);
    }
    return 0;
  }
  const auto text = policy::profile_text(name);
  if (!text) return report({fmt::format("there is no profile '{}'", name)});
  fmt::print("{}", *text);
  return 0;
}

// What a rule file says of an entry of an audit log; nothing: it cannot be replayed.
std::optional<policy::Decision> decide(policy::RuleBook& book, const Json& entry) {
  const auto categories = policy::parse_categories(text_of(entry, "category"), false);
  if (!categories || categories->set.count() != 1) return std::nullopt;
  const auto category = policy::Category(categories->set._Find_first());
  const std::string object = text_of(entry, "object");
  switch (policy::kind_of(category)) {
    case policy::Kind::kRequest: {
      const auto requests = policy::parse_requests(object);
      if (!requests || requests->empty()) return std::nullopt;
      return book.by_request(requests->front());
    }
    case policy::Kind::kFileSystem: return book.by_file_system(object);
    case policy::Kind::kPath:
    case policy::Kind::kDescriptor: return book.by_name(category, object);
    case policy::Kind::kAddress:
      if (object.starts_with('/') || object.starts_with('@') || object.starts_with('!')) {
        return book.by_name(category, object);
      }
      if (const auto address = policy::parse_inet_address(object)) {
        return book.by_address(category, *address);
      }
      return std::nullopt;
    case policy::Kind::kFamily: {
      const auto families = policy::parse_families(object);
      if (!families || families->size() != 1) return std::nullopt;
      return book.by_family(families->front());
    }
    default: return std::nullopt;
  }
}

// Replays what a log says under other rules, and prints what would change.
int test(const std::string& rules, const std::string& trace) {
  policy::Policy p;
  const auto around = host_surroundings();
  if (!around) return report(around.error());
  if (auto ok = policy::RuleReader(p, *around).load(rules); !ok) return report({ok.error()});
  const auto text = read_file(trace);
  if (!text) return report({fmt::format("{}: {}", trace, text.error())});
  policy::RuleBook book(p);
  size_t same = 0, changed = 0, skipped = 0;
  std::set<std::string> told;
  for (std::string_view rest = *text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const auto entry = parse_object(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!entry || entry->contains("event")) continue;
    const auto decision = decide(book, *entry);
    if (!decision) {
      skipped++;
      continue;
    }
    const bool now = policy::allows(decision->action);
    if (now == (text_of(*entry, "decision") == "allowed")) {
      same++;
      continue;
    }
    changed++;
    const std::string line =
        fmt::format("{}: {} {:?}: {}", now ? "allowed" : "denied", text_of(*entry, "category"),
                    printable(text_of(*entry, "object")),
                    decision->rule ? decision->rule->source.text() + " " + decision->rule->text
                                   : "no rule allows it");
    if (told.insert(line).second) fmt::print("{}\n", line);
  }
  fmt::print("{} as before, {} changed, {} cannot be told\n", same, changed, skipped);
  return 0;
}

int why(const std::string& id, size_t last, bool json) {
  auto client = ControlClient::open(id);
  if (!client) return report(client.error());
  const auto answer = client->call({{"op", "why"}, {"last", last}});
  if (!answer) return report(answer.error());
  for (const Json& d : answer->value("denials", Json::array())) {
    fmt::print("{}\n",
               json ? to_text(d.value("entry", Json::object())) : printable(text_of(d, "text")));
  }
  return 0;
}

int tell(const std::string& id, const std::vector<std::string>& commands) {
  auto client = ControlClient::open(id);
  if (!client) return report(client.error());
  for (const std::string& command : commands) {
    const auto answer = client->call({{"op", "policy"}, {"command", command}});
    if (!answer) return report({fmt::format("{}: {}", command, answer.error().message)});
  }
  return 0;
}

int verify(const std::string& file) {
  const auto found = AuditLog::verify(file);
  if (!found) return report(found.error());
  fmt::print("{}\n", *found);
  return 0;
}

}  // namespace

void PolicyFlags::add_to(CLI::App& cmd, SandboxConfig& c) {
  cmd.add_option("--policy", files, "Rule FILE or PROFILE of what is allowed (usk policy show)")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  cmd.add_option("--policy-rule", rules, "One more RULE, behind those of --policy")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  cmd.add_option("--policy-hosts", hosts,
                 "Addresses of the names in rules (/etc/hosts), as a FILE");
  cmd.add_flag("--policy-warn", c.policy_warn_only, "Deny nothing, only report what would be");
  cmd.add_flag("--explain", c.explain, "Print each denial, with its rule and one that allows it");
  cmd.add_option("--audit", c.audit_file, "Write denials to FILE, as a chain of JSON lines");
}

OrFailure<void> PolicyFlags::read(SandboxConfig& config) const {
  if (files.empty() && rules.empty()) {
    const bool asked = config.explain || config.policy_warn_only || !config.audit_file.empty();
    if (asked) return fail("--explain, --audit and --policy-warn want a --policy or --policy-rule");
    return {};
  }
  policy::Policy p;
  policy::RuleReader reader(p, TRY(host_surroundings(hosts)));
  for (const std::string& f : files) {
    if (auto ok = reader.load(f); !ok) return fail(ok.error());
  }
  for (const std::string& r : rules) {
    if (auto ok = reader.rule(r, "--policy-rule"); !ok) return fail(ok.error());
  }
  for (const std::string& note : p.notes()) LOG_INFO("{}", note);
  config.policy = std::move(p);
  return {};
}

void add_policy_commands(CLI::App& app, Action& chosen) {
  auto* cmd = app.add_subcommand("policy", "Look at rules of policies");
  cmd->require_subcommand(1);
  auto names = std::make_shared<std::vector<std::string>>();
  auto* checks = cmd->add_subcommand("check", "Say what is wrong with rule files");
  checks->add_option("FILE", *names, "Rule files or profiles")->required();
  checks->final_callback([names, &chosen] { chosen = [names] { return check(*names); }; });
  struct Test {
    std::string rules, trace;
  };
  auto t = std::make_shared<Test>();
  auto* tests = cmd->add_subcommand("test", "Say what would change for what an audit log tells of");
  tests->add_option("FILE", t->rules, "A rule file or profile")->required();
  tests->add_option("--trace", t->trace, "An audit log (--audit, maybe with --policy-warn)")
      ->required();
  tests->final_callback([t, &chosen] { chosen = [t] { return test(t->rules, t->trace); }; });
  struct Tell {
    std::string id;
    std::vector<std::string> commands;
  };
  auto said = std::make_shared<Tell>();
  auto* tells = cmd->add_subcommand("tell", "Say commands to the policy of a running sandbox");
  tells->add_option("ID", said->id, "ID or name of a sandbox")->required();
  tells->add_option("COMMAND", said->commands, "Lines as in rule files")->required();
  tells->final_callback(
      [said, &chosen] { chosen = [said] { return tell(said->id, said->commands); }; });
  auto name = std::make_shared<std::string>();
  auto* shows = cmd->add_subcommand("show", "Print a built-in profile, or list them");
  shows->add_option("PROFILE", *name, "A profile");
  shows->final_callback([name, &chosen] { chosen = [name] { return show(*name); }; });

  auto* audit = app.add_subcommand("audit", "Look at an audit log");
  audit->require_subcommand(1);
  auto file = std::make_shared<std::string>();
  auto* verifies = audit->add_subcommand("verify", "Check that a log is whole and unchanged");
  verifies->add_option("FILE", *file, "The log")->required();
  verifies->final_callback([file, &chosen] { chosen = [file] { return verify(*file); }; });

  struct Why {
    std::string id;
    size_t last = 20;
    bool json = false;
  };
  auto w = std::make_shared<Why>();
  auto* whys = app.add_subcommand("why", "Show what a sandbox's policy has denied, and why");
  whys->add_option("ID", w->id, "ID or name of a sandbox")->required();
  whys->add_option("-n,--last", w->last, "So many at most (20)");
  whys->add_flag("--json", w->json, "As JSON lines");
  whys->final_callback([w, &chosen] { chosen = [w] { return why(w->id, w->last, w->json); }; });
}

}  // namespace usk
