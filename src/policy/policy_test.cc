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

// Names that the kernel asks about are tidy: what could match none of them is no silent rule.
TEST(Policy, PatternsThatNoPathHasAreErrors) {
  Policy p;
  for (const char* rule : {"deny/read+/a/../etc/passwd", "deny/read+/a/./b", "deny/read+/a/..",
                           "deny/read+/..", "deny/all+/a/", "deny/net/connect+/a/../b", "mask+/a/",
                           "append+/a/../b", "allow/lock/read+/a/./b"}) {
    EXPECT_FALSE(p.apply(rule, {})) << rule;
  }
  EXPECT_FALSE(p.apply("force+/a/../b:sha256:" + std::string(64, '0'), {}));
  EXPECT_TRUE(p.rules().size() == Policy().rules().size());
}

TEST(Policy, SlashesThatFollowEachOtherAreOne) {
  const Policy p = policy_of({"sandbox/all:on", "allow/read+/***", "deny/read+//a//b/***",
                              "deny/read+//home//.ssh", "deny/read+/..a/b..", "mask+//m"});
  EXPECT_EQ(decide(p, kRead, "/a/b/c"), Action::kDeny);
  EXPECT_EQ(decide(p, kRead, "/home/.ssh"), Action::kDeny);
  EXPECT_EQ(decide(p, kRead, "/..a/b.."), Action::kDeny);
  EXPECT_EQ(decide(p, kRead, "/a/c"), Action::kAllow);
  EXPECT_NE(RuleBook(p).mark(kMask, "/m"), nullptr);
  // Of "${HOME}/***" where the home is "/".
  EXPECT_EQ(decide(policy_of({"sandbox/all:on", "allow/all+//***"}), kRead, "/a"), Action::kDeny);
  EXPECT_EQ(decide(policy_of({"allow/all+/***", "deny/all+//.ssh/***"}), kRead, "/.ssh/id"),
            Action::kDeny);
  const Policy back =
      policy_of({"sandbox/all:on", "allow/read+/***", "deny/read+/a//b", "deny/read-//a/b"});
  EXPECT_EQ(decide(back, kRead, "/a/b"), Action::kAllow);
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

// What is blocked goes before all rules, and as many networks as there are lists of.
TEST(Policy, BlocksHaveAnActionAndAPlace) {
  Policy p = policy_of({"allow/net/connect,net/accept+any!*", "default/block:kill"});
  for (int i = 0; i < 4000; i++) {
    const std::string network = std::to_string(i % 200) + "." + std::to_string(i / 200) + ".7.0/24";
    ASSERT_TRUE(p.apply("block+" + network, {"list", i + 1}));
  }
  ASSERT_TRUE(p.apply("block+fd00::/9", {"six", 1}));
  ASSERT_TRUE(p.apply("block-5.5.7.9/24", {}));
  RuleBook b(p);
  InetAddress a{.protocol = Protocol::kTcp, .address = {3, 9, 7, 200}, .port = 80};
  const Decision d = b.by_address(kNetConnect, a);
  EXPECT_EQ(d.action, Action::kKill);
  ASSERT_TRUE(d.rule);
  EXPECT_EQ(d.rule->text, "block+3.9.7.0/24");
  EXPECT_EQ(d.rule->source.text(), "list:1804");
  EXPECT_EQ(b.by_address(kNetAccept, a).action, Action::kKill);
  a.address = {5, 5, 7, 9};
  EXPECT_EQ(b.by_address(kNetConnect, a).action, Action::kAllow) << "taken back";
  a.address = {3, 9, 8, 200};
  EXPECT_EQ(b.by_address(kNetConnect, a).action, Action::kAllow);
  a = {.v6 = true, .address = {0xfd, 0x7f}, .port = 1};
  EXPECT_EQ(b.by_address(kNetConnect, a).action, Action::kKill);
  EXPECT_TRUE(p.tightens(*parse_command("default/block:exit")));
  EXPECT_FALSE(p.tightens(*parse_command("default/block:deny")));
  const Policy warned = policy_of(
      {"deny/net/connect+any!9", "allow/net/connect+any!8", "default/block:warn", "block+any4"});
  RuleBook w(warned);
  a = {.address = {1, 2, 3, 4}, .port = 8};
  EXPECT_EQ(w.by_address(kNetConnect, a).action, Action::kWarn);
  a.port = 9;
  EXPECT_EQ(w.by_address(kNetConnect, a).action, Action::kDeny) << "a warning allows nothing more";
}

TEST(Policy, NamesOfHostsAreTheirAddresses) {
  Policy p;
  p.set_hosts(
      parse_hosts("10.0.0.1 files.example.org other\n10.0.0.2 example.org\n::9 X.example.org"));
  ASSERT_TRUE(p.apply("allow/net/connect+name!*.Example.org!443", {}));
  ASSERT_TRUE(p.notes().empty());
  ASSERT_TRUE(p.apply("allow/net/connect+name!example.com!443", {"f", 2}));
  EXPECT_EQ(p.notes().size(), 1u) << "nobody knows it";
  const auto back = Policy::from_saved(p.saved());
  ASSERT_TRUE(back) << back.error();
  for (const Policy* q : {&std::as_const(p), &*back}) {
    RuleBook b(*q);
    InetAddress a{.address = {10, 0, 0, 1}, .port = 443};
    EXPECT_EQ(b.by_address(kNetConnect, a).action, Action::kAllow);
    a.port = 80;
    EXPECT_EQ(b.by_address(kNetConnect, a).action, Action::kDeny);
    a = {.address = {10, 0, 0, 2}, .port = 443};
    EXPECT_EQ(b.by_address(kNetConnect, a).action, Action::kDeny);
    a = {.v6 = true, .port = 443};
    a.address[15] = 9;
    EXPECT_EQ(b.by_address(kNetConnect, a).action, Action::kAllow);
  }
}

// As Landlock has it: what changes a directory is a right to what is in it; a name that comes and
// one that goes are rights of their own, and another directory is one more.
TEST(Policy, LockListsAreThoseOfLandlock) {
  const Policy p =
      policy_of({"sandbox/lock:on", "allow/lock/create,delete+/d", "allow/lock/mkdir,rmdir+/d",
                 "allow/lock/read,lock/write,ioctl+/dev/zero", "allow/lock/bind+8080,9000-9001",
                 "allow/lock/create,rename+/e", "allow/lock/rename+/d/sub", "allow/net/bind+any!*",
                 "allow/lock/all-x+/all"});
  RuleBook b(p);
  EXPECT_TRUE(b.lock_allows(kLockRmdir, "/d/x"));
  EXPECT_FALSE(b.lock_allows(kLockRmdir, "/d"));
  EXPECT_TRUE(b.lock_allows(kLockIoctl, "/dev/zero"));
  EXPECT_TRUE(b.lock_allows(kLockWrite, "/dev/zero"));
  EXPECT_FALSE(b.lock_allows(kLockExec, "/all/x"));
  EXPECT_TRUE(b.lock_allows(kLockRead, "/all"));
  for (const auto c : {kLockRead, kLockReaddir}) EXPECT_TRUE(b.lock_allows(c, "/proc/1/maps"));
  for (const auto c : {kLockRead, kLockWrite, kLockTruncate})
    EXPECT_TRUE(b.lock_allows(c, "/dev/null"));
  InetAddress a{.port = 9001};
  EXPECT_EQ(b.by_address(kNetBind, a).action, Action::kAllow);
  a.port = 9002;
  EXPECT_EQ(b.by_address(kNetBind, a).action, Action::kDeny);

  using Move = RuleBook::Move;
  const Move file{FileKind::kRegular, true, {}}, linked{FileKind::kRegular, false, {}},
      dir{FileKind::kDirectory, true, {}}, over{FileKind::kRegular, true, FileKind::kRegular};
  EXPECT_EQ(b.lock_against_move("/d/a", "/d/b", file), std::nullopt);
  EXPECT_EQ(b.lock_against_move("/d/a", "/d/b", over), std::nullopt);
  EXPECT_EQ(b.lock_against_move("/d/a", "/d/b", dir), std::nullopt);
  EXPECT_EQ(b.lock_against_move("/d/a", "/d/b", Move{FileKind::kFifo, true, {}}), kLockMkfifo);
  EXPECT_EQ(b.lock_against_move("/d/a", "/x/b", file), kLockCreate);
  EXPECT_EQ(b.lock_against_move("/x/a", "/d/b", file), kLockDelete);
  EXPECT_EQ(b.lock_against_move("/e/a", "/e/b", linked), std::nullopt);
  EXPECT_EQ(b.lock_against_move("/e/a", "/e/b", file), kLockDelete);
  EXPECT_EQ(b.lock_against_move("/e/a", "/e/f/b", linked), std::nullopt);
  EXPECT_EQ(b.lock_against_move("/d/a", "/d/f/b", file), kLockRename);
  EXPECT_EQ(b.lock_against_move("/d/sub/a", "/e/b", file), std::nullopt);
  const Policy onto = policy_of(
      {"sandbox/lock:on", "allow/lock/create,delete,rename+/d", "allow/lock/create,rename+/e"});
  EXPECT_EQ(RuleBook(onto).lock_against_move("/d/a", "/e/b", over), kLockDelete) << "what is there";
}

// No restriction of syd(2) by another name, nor the other way round.
TEST(Policy, NamesThatMeanTheSame) {
  const Policy p = policy_of({"deny/net/sendfd+!pipe", "allow/sendfd+!file", "allow/mkdev+/dev/x"});
  EXPECT_EQ(decide(p, kSendfd, "!pipe"), Action::kDeny);
  EXPECT_EQ(decide(p, kSendfd, "!file"), Action::kAllow);
  EXPECT_EQ(decide(p, kMkbdev, "/dev/x"), Action::kAllow);
  EXPECT_FALSE(p.is_on(kChdir)) << "as syd(2) has it";
  // Digits are a pattern where they stand for one.
  EXPECT_EQ(decide(policy_of({"allow/read+2f61"}), kRead, "/a"), Action::kAllow);
  Policy once;
  ASSERT_TRUE(once.apply("setuid+0:1000", {}));
  EXPECT_FALSE(once.apply("setuid+0:1001", {})) << "one for each";
  EXPECT_TRUE(once.apply("setuid-0:1000", {}));
  EXPECT_TRUE(once.apply("setuid+0:1001", {}));
  EXPECT_TRUE(once.may_become(IdKind::kUser, 0, 1001));
  EXPECT_FALSE(once.may_become(IdKind::kUser, 0, 1000));
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
                          "allow/lock/read+/a/../b",
                          "allow/lock/read,bind+80",
                          "allow/lock/read,chmod+/x",
                          "default/block:allow",
                          "allow/net/sendfd+/run/x",
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
  // A restriction that there was not does not come by a restore.
  for (const auto& [option, value] :
       {std::pair(Option::kUnsafeCreate, true), {Option::kDenyDotdot, false}}) {
    std::string older = policy_of({"deny/read+/a"}).saved();
    const std::string text = "\"" + std::string(name_of(option)) + "\":false,";
    ASSERT_NE(older.find(text), older.npos) << older;
    const auto restored = Policy::from_saved(older.erase(older.find(text), text.size()));
    ASSERT_TRUE(restored) << restored.error();
    EXPECT_EQ(restored->option(option), value);
  }
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
