#include "policy/policy.h"

#include <gtest/gtest.h>

#include <cstring>

#include "policy/rule_book.h"
#include "policy/rule_files.h"

namespace usk::policy {
namespace {

using enum Category;

Policy policy_of(std::initializer_list<const char*> lines) {
  Policy p;
  for (const char* l : lines) {
    const auto ok = p.apply(l, {"test", 1});
    EXPECT_TRUE(ok) << l << ": " << ok.error();
  }
  return p;
}

Action decide(const Policy& p, Category c, std::string_view name) {
  return RuleBook(p).by_name(c, name).action;
}

// Every category with a rule of every action: what is said for it, and only for it.
TEST(Policy, EachCategoryHasItsOwnRules) {
  for (size_t i = 0; i < kCategoryCount; i++) {
    const auto c = Category(i);
    if (kind_of(c) != Kind::kPath) continue;
    for (const char* action :
         {"allow", "warn", "filter", "deny", "panic", "stop", "abort", "kill", "exit"}) {
      Policy p;
      ASSERT_TRUE(p.apply("sandbox/all:on", {}));
      const std::string rule = std::string(action) + "/" + std::string(name_of(c)) + "+/x/***";
      ASSERT_TRUE(p.apply(rule, {"f", 7})) << rule;
      EXPECT_EQ(decide(p, c, "/x/y"), *parse_action(action)) << rule;
      EXPECT_EQ(decide(p, c, "/z"), Action::kDeny) << rule;
      for (size_t other = 0; other < kCategoryCount; other++) {
        if (other == i || kind_of(Category(other)) != Kind::kPath) continue;
        EXPECT_EQ(decide(p, Category(other), "/x/y"), Action::kDeny) << rule;
      }
    }
  }
}

TEST(Policy, WhatIsOffAllowsAndDefaultsCanBeSet) {
  const Policy p = policy_of({"sandbox/read:off", "default/write:kill", "default/stat:allow"});
  EXPECT_EQ(decide(p, kRead, "/x"), Action::kAllow);
  EXPECT_EQ(decide(p, kWrite, "/x"), Action::kKill);
  EXPECT_EQ(decide(p, kStat, "/x"), Action::kAllow);
  EXPECT_EQ(decide(p, kExec, "/x"), Action::kDeny);
  EXPECT_EQ(decide(p, kWalk, "/x"), Action::kAllow);
}

TEST(Policy, TheLastRuleWins) {
  const Policy p = policy_of({"allow/read+/***", "deny/read+/etc/***", "allow/read+/etc/hosts"});
  EXPECT_EQ(decide(p, kRead, "/etc/passwd"), Action::kDeny);
  EXPECT_EQ(decide(p, kRead, "/etc/hosts"), Action::kAllow);
  const Policy q = policy_of({"deny/read+/etc/passwd", "allow/read+/***"});
  EXPECT_EQ(decide(q, kRead, "/etc/passwd"), Action::kAllow);
}

TEST(Policy, RulesCanBeTakenBack) {
  const Policy p = policy_of({"allow/read,write+/a", "allow/read+/a", "allow/read-/a"});
  EXPECT_EQ(decide(p, kRead, "/a"), Action::kAllow);
  const Policy q = policy_of({"allow/read,write+/a", "allow/read+/a", "allow/read^/a"});
  EXPECT_EQ(decide(q, kRead, "/a"), Action::kDeny);
  EXPECT_EQ(decide(q, kWrite, "/a"), Action::kAllow);
  const Policy r = policy_of({"allow/read+/a", "deny/read+/b", "allow/read^"});
  EXPECT_EQ(decide(r, kRead, "/a"), Action::kDeny);
  EXPECT_EQ(RuleBook(r).by_name(kRead, "/b").rule->pattern, "/b");
}

TEST(Policy, SetsOfCategories) {
  const Policy p = policy_of({"allow/rpath+/a", "allow/all-x+/b", "allow/all-lnx-/b"});
  EXPECT_EQ(decide(p, kReaddir, "/a"), Action::kAllow);
  EXPECT_EQ(decide(p, kWrite, "/a"), Action::kDeny);
  EXPECT_EQ(decide(p, kStat, "/b"), Action::kAllow);
  EXPECT_EQ(decide(p, kWrite, "/b"), Action::kDeny);
  EXPECT_EQ(decide(p, kExec, "/b"), Action::kDeny);
}

TEST(Policy, RequestsByNameAndNumber) {
  const Policy p =
      policy_of({"allow/ioctl+TCGETS,0x5413", "deny/ioctl+0x5402", "allow/ioctl+tcsets"});
  EXPECT_EQ(RuleBook(p).by_request(0x5401).action, Action::kAllow);
  EXPECT_EQ(RuleBook(p).by_request(0x5413).action, Action::kAllow);
  EXPECT_EQ(RuleBook(p).by_request(0x5402).action, Action::kDeny);  // Denied lists go before.
  EXPECT_EQ(RuleBook(p).by_request(0x5410).action, Action::kDeny);
  EXPECT_EQ(RuleBook(p).by_request(0x541b).action, Action::kAllow);  // FIONREAD, at first.
  const Policy q = policy_of({"deny/ioctl-TIOCSTI", "allow/ioctl+TIOCSTI"});
  EXPECT_EQ(RuleBook(q).by_request(0x5412).action, Action::kAllow);
}

TEST(Policy, AddressesAndBlocks) {
  const Policy p = policy_of({"allow/net/connect+any!80", "block+10.0.0.0/8",
                              "allow/net/bind+/run/***", "allow/net/connect+@x"});
  RuleBook b(p);
  InetAddress a{.protocol = Protocol::kTcp, .address = {1, 2, 3, 4}, .port = 80};
  EXPECT_EQ(b.by_address(kNetConnect, a).action, Action::kAllow);
  EXPECT_EQ(b.by_address(kNetBind, a).action, Action::kDeny);
  a.address[0] = 10;
  EXPECT_EQ(b.by_address(kNetConnect, a).action, Action::kDeny);
  EXPECT_EQ(b.by_name(kNetBind, "/run/s").action, Action::kAllow);
  EXPECT_EQ(b.by_name(kNetConnect, "/run/s").action, Action::kDeny);
  EXPECT_EQ(b.by_name(kNetConnect, "@x").action, Action::kAllow);
}

TEST(Policy, LockListsComeOnTop) {
  const Policy p = policy_of({"sandbox/read,write:off", "sandbox/lock:on", "allow/lock/read+/usr"});
  EXPECT_EQ(decide(p, kRead, "/usr/lib/x"), Action::kAllow);
  EXPECT_EQ(decide(p, kRead, "/usr"), Action::kAllow);
  EXPECT_EQ(decide(p, kRead, "/usrx"), Action::kDeny);
  EXPECT_EQ(decide(p, kWrite, "/usr/lib/x"), Action::kDeny);
  EXPECT_EQ(decide(p, kWrite, "/dev/null"), Action::kAllow);
}

TEST(Policy, MasksAndAppendOnlyAreMarks) {
  const Policy p = policy_of({"mask+/proc/acpi/***:/dev/zero:/var/empty", "append+/var/log/*"});
  RuleBook b(p);
  EXPECT_EQ(b.mark(kMask, "/proc/acpi/wakeup")->file, "/dev/zero");
  EXPECT_EQ(b.mark(kMask, "/proc/x"), nullptr);
  EXPECT_NE(b.mark(kAppend, "/var/log/x"), nullptr);
}

TEST(Policy, MovingNothingToWhereMoreIsAllowed) {
  const Policy p = policy_of({"allow/all+/src/***", "allow/all-x+/tmp/***", "allow/exec+/bin/***",
                              "deny/read+/src/secret", "deny/read+/src/*/key"});
  RuleBook b(p);
  EXPECT_TRUE(b.may_move("/src/a", "/src/b", false));
  EXPECT_FALSE(b.may_move("/src/secret", "/src/b", false));
  EXPECT_TRUE(b.may_move("/src/b", "/src/secret", false));
  EXPECT_FALSE(b.may_move("/tmp/a", "/bin/a", false));  // It could be executed there.
  EXPECT_TRUE(b.may_move("/src/a", "/tmp/a", false));
  // A directory, with what it may hold: /src/d/key.
  EXPECT_TRUE(b.may_move("/src/d", "/src/e", true));
  EXPECT_FALSE(b.may_move("/src/d", "/src/d/e", true));
  EXPECT_FALSE(b.may_move("/src/d", "/tmp/d", true));
  EXPECT_TRUE(b.may_move("/tmp/d", "/tmp/e", true));
  EXPECT_FALSE(b.may_move("/tmp/d", "/src/e/f", true));
}

TEST(Policy, MovingDirectoriesUnderRulesForNames) {
  const Policy p =
      policy_of({"allow/all+/src/***", "allow/read,write+/tmp/***", "deny/all+/**/.ssh/***"});
  RuleBook b(p);
  EXPECT_TRUE(b.may_move("/src/d", "/src/e", true));
  EXPECT_TRUE(b.may_move("/src/d", "/tmp/e", true));
  EXPECT_FALSE(b.may_move("/tmp/d", "/src/e", true));
  EXPECT_FALSE(b.may_move("/src/.ssh", "/src/e", true));
}

TEST(Policy, RefusesWhatItDoesNotEnforce) {
  for (const char* bad : {"",
                          "allow",
                          "allow/read",
                          "allow/read+",
                          "allow/nothing+/x",
                          "allow/read+x",
                          "frob/read+/x",
                          "sandbox/read:maybe",
                          "default/read:frob",
                          "lock:maybe",
                          "bind+/a:/b:ro",
                          "root:/x",
                          "sandbox/proxy:on",
                          "allow/lock/read+x",
                          "deny/lock/read+/x",
                          "allow/read+/[",
                          "pid/max:x",
                          "force+/bin/x:md5:00",
                          "force+/bin/x:sha256:00",
                          "trace/force_nothing:1",
                          "allow/ioctl+NOSUCH",
                          "allow/net/link+nosuch",
                          "mem/max:1x",
                          "allow/stat,ioctl+/x",
                          "allow/net/connect+1.2.3.4",
                          "mask+x",
                          "trace/force_umask:9",
                          "sandbox/segvguard:on",
                          "segvguard/suspension:0",
                          "segvguard/maxcrashes:256",
                          "segvguard/expiry:2x",
                          "segvguard/expiry:99999999999999999999d",
                          "default/lock:exit"}) {
    Policy p;
    EXPECT_FALSE(p.apply(bad, {"f", 1})) << bad;
  }
}

// What syd(2) has of SegvGuard, of umasks, and of what is so here anyway.
TEST(Policy, TimesUmasksAndWhatIsSoAnyway) {
  using L = command::SetLimit;
  const Policy plain;
  EXPECT_EQ(plain.limit(L::kSegvExpiry), 120u);
  EXPECT_EQ(plain.limit(L::kSegvSuspension), 600u);
  EXPECT_EQ(plain.limit(L::kSegvCrashes), 5u);
  EXPECT_EQ(plain.limit(L::kForceUmask), 07000u);
  EXPECT_EQ(plain.default_action(kSegvguard), Action::kDeny);
  EXPECT_EQ(plain.default_action(kPid), Action::kKill);
  const Policy p =
      policy_of({"segvguard/expiry:1h30m", "segvguard/suspension:2m5s", "default/segvguard:kill",
                 "trace/force_umask:-1", "default/lock:deny", "ipc:@x", "trace/deny_exec_elf32:1"});
  EXPECT_EQ(p.limit(L::kSegvExpiry), 5400u);
  EXPECT_EQ(p.limit(L::kSegvSuspension), 125u);
  EXPECT_EQ(p.limit(L::kForceUmask), L::kNone);
  EXPECT_EQ(p.default_action(kSegvguard), Action::kKill);
  EXPECT_EQ(p.notes().size(), 3u);
  const std::string summary = policy_of({"deny/read+/x\x1b"}).summary();
  EXPECT_NE(summary.find("deny/read+/x\\x1b  # test:1\n"), summary.npos) << summary;
}

TEST(Policy, SaysWhatTightens) {
  const Policy p = policy_of({"pid/max:10"});
  const auto tightens = [&](const char* text) { return p.tightens(*parse_command(text)); };
  EXPECT_TRUE(tightens("deny/read+/x"));
  EXPECT_TRUE(tightens("allow/read-/x"));
  EXPECT_TRUE(tightens("sandbox/walk:on"));
  EXPECT_TRUE(tightens("default/read:kill"));
  EXPECT_TRUE(tightens("pid/max:5"));
  EXPECT_TRUE(tightens("lock:on"));
  EXPECT_TRUE(tightens("trace/deny_dotdot:1"));
  EXPECT_FALSE(tightens("allow/read+/x"));
  EXPECT_FALSE(tightens("deny/read-/x"));
  EXPECT_FALSE(tightens("sandbox/read:off"));
  EXPECT_FALSE(tightens("default/read:allow"));
  EXPECT_FALSE(tightens("pid/max:50"));
  EXPECT_FALSE(tightens("pid/max:0"));
  EXPECT_FALSE(tightens("lock:off"));
  EXPECT_FALSE(tightens("trace/deny_dotdot:0"));
  EXPECT_FALSE(tightens("mask+/x"));
}

TEST(Policy, CanBeAskedAndShown) {
  const Policy p = policy_of({"sandbox/read:off", "allow/stat+/x\xff"});
  EXPECT_EQ(p.query("sandbox/read"), false);
  EXPECT_EQ(p.query("sandbox/stat"), true);
  EXPECT_EQ(p.query("trace/deny_dotdot"), false);
  EXPECT_FALSE(p.query("nothing"));
  EXPECT_NE(p.json().find("\"allow\""), std::string::npos);
}

// What is left of rules after later commands, too.
TEST(Policy, IsTheSameWhenItWasSaved) {
  Policy p = policy_of({"sandbox/read,ioctl,net:on", "default/write:kill", "lock:exec",
                        "allow/read,write,stat+/a/***", "deny/read+/a/b\xff*", "allow/read-/a/***",
                        "allow/ioctl+TIOCSTI,TCGETS", "allow/ioctl-TCGETS", "mask+/etc/x:/dev/zero",
                        "append+/log/*", "allow/net/connect+10.0.0.0/8!80", "block+192.168.0.0/16",
                        "allow/net/bind+@name", "allow/fs+tmpfs,proc", "pid/max:7", "tpe/gid:none",
                        "trace/deny_dotdot:1", "setuid+0:1000", "segvguard/maxcrashes:3"});
  const std::string sum(64, 'a');
  ASSERT_TRUE(p.apply("force+/bin/x:sha256:" + sum + ":kill", {"f", 3}));
  const std::string saved = p.saved();
  const auto back = Policy::from_saved(saved);
  ASSERT_TRUE(back) << back.error();
  EXPECT_EQ(back->saved(), saved);
  EXPECT_EQ(back->json(), p.json());
  EXPECT_EQ(decide(*back, kRead, "/a/x"), Action::kDeny) << "taken back";
  EXPECT_EQ(decide(*back, kWrite, "/a/x"), Action::kAllow);
  EXPECT_TRUE(back->may_become(IdKind::kUser, 0, 1000));
  EXPECT_FALSE(back->may_become(IdKind::kUser, 0, 1001));
}

TEST(Policy, ImagesFromBeforeACategoryAreRead) {
  std::string saved = policy_of({"deny/read+/a"}).saved();
  const std::string entry = R"("segvguard":{"on":true,"default":"deny"},)";
  const size_t at = saved.find(entry);
  ASSERT_NE(at, saved.npos) << saved;
  const auto back = Policy::from_saved(saved.erase(at, entry.size()));
  ASSERT_TRUE(back) << back.error();
  EXPECT_EQ(back->default_action(kSegvguard), Action::kDeny);
}

TEST(Policy, WhatIsNoSavedPolicyIsRefused) {
  const std::string saved = policy_of({"deny/read+/a"}).saved();
  for (size_t i = 0; i < saved.size(); i += 7) EXPECT_FALSE(Policy::from_saved(saved.substr(0, i)));
  for (const auto& [from, to] :
       {std::pair("\"deny\"", "\"no\""), std::pair("deny/read+/a", "lock:off"),
        std::pair("\"unset\"", "\"none\""), std::pair("120", "[]")}) {
    std::string changed = saved;
    const size_t at = changed.find(from);
    ASSERT_NE(at, changed.npos) << from;
    EXPECT_FALSE(Policy::from_saved(changed.replace(at, strlen(from), to))) << from;
  }
}

}  // namespace
}  // namespace usk::policy
