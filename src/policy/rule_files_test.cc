#include "policy/rule_files.h"

#include <gtest/gtest.h>

#include "policy/rule_book.h"

namespace usk::policy {
namespace {

using Files = std::map<std::string, std::string>;

struct Reading {
  Policy policy;
  Parsed<> result;
};

Reading read_file(const Files& files, const std::string& name) {
  Reading r;
  RuleReader reader(r.policy, {.read = [&](const std::string& path) -> Parsed<std::string> {
                                 const auto it = files.find(path);
                                 if (it == files.end()) return std::unexpected("no such file");
                                 return it->second;
                               },
                               .variable = [](const std::string& n) -> std::optional<std::string> {
                                 if (n == "HOME" || n == "SYD_HOME") return "/home/u";
                                 if (n == "SYD_PWD") return "/src";
                                 if (n == "SYD_UID") return "1000";
                                 if (n == "EMPTY") return "";
                                 return std::nullopt;
                               }});
  r.result = reader.load(name);
  return r;
}

const Rule& last_rule(const Reading& r) { return r.policy.rules().back(); }

TEST(RuleFiles, LinesCommentsAndPlaces) {
  const auto r = read_file({{"/r", "# a comment\n\n  allow/read+/x # y\nallow/read+/z"}}, "/r");
  ASSERT_TRUE(r.result) << r.result.error();
  EXPECT_EQ(last_rule(r).source.text(), "/r:4");
  EXPECT_EQ(last_rule(r).text, "allow/read+/z");
  EXPECT_EQ(r.policy.rules().rbegin()[1].pattern, "/x # y");
}

// Whoever unpacks an archive does not choose the names in it.
TEST(RuleFiles, NamesOfDirectoriesAreNoPatterns) {
  Policy policy;
  RuleReader reader(policy, {.read = [](const std::string&) { return ""; },
                             .variable = [](const std::string& n) -> std::optional<std::string> {
                               if (n == "SYD_PWD") return "/home/u/*";
                               return "/[a]";
                             }});
  for (const char* rule :
       {"sandbox/all,lock:on", "allow/all+${SYD_PWD}/***", "deny/read-${SYD_PWD}",
        "allow/read+${OTHER}", "allow/lock/read+${SYD_PWD}"}) {
    const auto ok = reader.rule(rule, "test");
    ASSERT_TRUE(ok) << ok.error();
  }
  RuleBook book(policy);
  EXPECT_EQ(book.by_name(Category::kWrite, "/home/u/other/f").action, Action::kDeny);
  EXPECT_EQ(book.by_name(Category::kStat, "/home/u/*/f").action, Action::kAllow);
  EXPECT_TRUE(book.lock_allows(Category::kLockRead, "/home/u/*/f"));
  EXPECT_FALSE(book.lock_allows(Category::kLockRead, "/home/u/other/f"));
  EXPECT_TRUE(policy.rules()[policy.rules().size() - 2].pattern == "/[a]");
}

TEST(RuleFiles, ErrorsNameTheLine) {
  EXPECT_EQ(read_file({{"/r", "\nallow/frob+/x"}}, "/r").result.error(),
            "/r:2: 'frob' is no category");
  EXPECT_EQ(read_file({}, "/r").result.error(), "/r: no such file");
}

TEST(RuleFiles, Variables) {
  const auto r = read_file(
      {{"/r", "allow/read+${HOME}/a\nallow/read+$HOME/${NONE:-b}/$$c\nallow/read+/${EMPTY:-e}"}},
      "/r");
  ASSERT_TRUE(r.result) << r.result.error();
  const auto& rules = r.policy.rules();
  EXPECT_EQ(rules.rbegin()[2].pattern, "/home/u/a");
  EXPECT_EQ(rules.rbegin()[1].pattern, "/home/u/b/$c");
  EXPECT_EQ(rules.rbegin()[0].pattern, "/e");
  EXPECT_EQ(read_file({{"/r", "allow/read+/${NONE}"}}, "/r").result.error(),
            "/r:1: the variable NONE is not set");
  EXPECT_FALSE(read_file({{"/r", "allow/read+/${NONE"}}, "/r").result);
}

TEST(RuleFiles, IncludesStayInTheDirectory) {
  const auto r = read_file({{"/d/r", "include sub/s\n"}, {"/d/sub/s", "allow/read+/x\n"}}, "/d/r");
  ASSERT_TRUE(r.result) << r.result.error();
  EXPECT_EQ(last_rule(r).source.text(), "/d/sub/s:1");
  const auto absolute = read_file({{"/d/r", "include /s\n"}, {"/d/s", "allow/read+/x\n"}}, "/d/r");
  EXPECT_TRUE(absolute.result) << absolute.result.error();
  EXPECT_FALSE(read_file({{"/d/r", "include ../s\n"}, {"/s", ""}}, "/d/r").result);
  EXPECT_EQ(read_file({{"/d/r", "include r\n"}}, "/d/r").result.error(),
            "/d/r:1: /d/r includes itself");
}

TEST(RuleFiles, ListsOfNetworksAreBlocked) {
  const auto r = read_file(
      {{"/d/r", "include x.ipset\n"}, {"/d/x.ipset", "# c\n1.2.3.4\n5.0.0.0/8\n"}}, "/d/r");
  ASSERT_TRUE(r.result) << r.result.error();
  EXPECT_EQ(r.policy.blocked().size(), 2u);
}

TEST(RuleFiles, NothingCountsBehindTheLock) {
  const auto r = read_file({{"/r", "allow/read+/x\nlock:on\nallow/read+/y\n"}}, "/r");
  ASSERT_TRUE(r.result);
  EXPECT_EQ(last_rule(r).pattern, "/x");
}

TEST(RuleFiles, ListsOfLockMayBeRelative) {
  const auto r = read_file({{"/r",
                             "allow/lock/read,write+build/out\nallow/lock/exec+.\n"
                             "allow/lock/bind+beef\n"}},
                           "/r");
  EXPECT_EQ(r.result.error(), "/r:3: lock/ takes absolute paths, and ports for bind and connect");
  const auto& rules = r.policy.rules();
  EXPECT_EQ(rules.rbegin()[1].pattern, "/src/build/out");
  EXPECT_EQ(rules.rbegin()[1].text, "allow/lock/read,write+/src/build/out");
  EXPECT_EQ(rules.rbegin()[0].pattern, "/src");
  EXPECT_FALSE(read_file({{"/r", "allow/lock/read+../x"}}, "/r").result);
}

TEST(RuleFiles, EveryProfileCanBeRead) {
  for (const ProfileInfo& p : profiles()) {
    const auto r = read_file({}, std::string(p.name));
    EXPECT_TRUE(r.result) << p.name << ": " << r.result.error();
    for (const std::string& note : r.policy.notes()) {
      EXPECT_NE(note.find("no host of that name"), note.npos) << p.name << ": " << note;
    }
  }
  EXPECT_TRUE(read_file({}, "u").result);
  EXPECT_FALSE(read_file({}, "nosuch").result);
}

TEST(RuleFiles, TheAgentSeesItsProjectAndNoSecrets) {
  const auto r = read_file({}, "agent");
  ASSERT_TRUE(r.result);
  RuleBook b(r.policy);
  EXPECT_EQ(b.by_name(Category::kWrite, "/src/main.c").action, Action::kAllow);
  EXPECT_EQ(b.by_name(Category::kRead, "/home/u/.cargo/registry/x").action, Action::kAllow);
  EXPECT_EQ(b.by_name(Category::kWrite, "/home/u/.cargo/registry/x").action, Action::kDeny);
  EXPECT_EQ(b.by_name(Category::kRead, "/home/u/.ssh/id").action, Action::kDeny);
  EXPECT_EQ(b.by_name(Category::kRead, "/home/u/.cargo/credentials.toml").action, Action::kDeny);
  EXPECT_EQ(b.by_name(Category::kRead, "/etc/shadow").action, Action::kDeny);
  EXPECT_EQ(b.by_name(Category::kWrite, "/etc/hosts").action, Action::kDeny);
}

}  // namespace
}  // namespace usk::policy
