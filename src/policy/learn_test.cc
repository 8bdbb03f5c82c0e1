#include "policy/learn.h"

#include <gtest/gtest.h>

#include "policy/rule_book.h"
#include "policy/rule_files.h"

namespace usk::policy {
namespace {

using enum Category;

const LearnedFrom kFrom{"make", "/home/u/src", "/home/u"};

TEST(Learn, TakesTogetherWhatDiffersFromRunToRun) {
  Deeds d;
  d.add(kRead, "/usr/lib/libc.so");
  d.add(kExec, "/usr/bin/make");
  d.add(kRead, "/proc/17/stat");
  d.add(kCreate, "/tmp/ccX7a.s");
  d.add(kWrite, "/home/u/src/a.o");
  d.add(kRead, "/home/u/.cache/x/y");
  d.add(kRead, "/home/u/.ssh/id_rsa");
  d.add(kIoctl, "TCGETS");
  d.add(kNetConnect, "/run/x.sock");
  d.add(kNetConnect, "tcp!127.0.0.1!80");
  d.add(kNetAccept, "tcp!127.0.0.1!41234");
  d.add(kNetAccept, "tcp!127.0.0.1!41235");
  for (int i = 0; i < 9; i++) d.add(kStat, "/etc/conf.d/" + std::to_string(i));
  d.options.insert("trace/allow_unsafe_exec_memory:1");
  EXPECT_EQ(write_profile(d, kFrom),
            "# Learned from: make\n"
            "trace/allow_unsafe_exec_memory:1\n"
            "allow/read+${SYD_HOME}/.cache/***\n"
            "allow/write+${SYD_PWD}/***\n"
            "allow/stat+/etc/conf.d/*\n"
            "# This looks like a secret: is it needed?\n"
            "allow/read+/home/u/.ssh/id_rsa\n"
            "allow/read+/proc/[0-9]*/stat\n"
            "allow/net/connect+/run/***\n"
            "allow/create+/tmp/***\n"
            "allow/read,exec+/usr/***\n"
            "allow/ioctl+TCGETS\n"
            "allow/net/accept+tcp!127.0.0.1!*\n"
            "allow/net/connect+tcp!127.0.0.1!80\n");
}

// What a run may show or not: the C library's looks at settings.
TEST(Learn, ProgramsMayAllocateMemory) {
  Deeds d;
  d.add(kRead, "/usr/lib/x86_64-linux-gnu/libc.so.6");
  EXPECT_EQ(write_profile(d, kFrom),
            "# Learned from: make\n"
            "allow/read+/proc/sys/vm/overcommit_memory\n"
            "allow/read+/usr/***\n");
}

TEST(Learn, TheProfileAllowsWhatWasSeen) {
  Deeds d;
  const std::pair<Category, const char*> seen[] = {
      {kRead, "/etc/odd [name]*"}, {kWrite, "/home/u/src/x"},  {kSendfd, "!pipe"},
      {kCreate, "!memfd:x"},       {kNetBind, "@abstract"},    {kReaddir, "/"},
      {kStat, "/proc/3/fd/4"},     {kRename, "/home/u/file"},  {kRead, "/x\nallow/read+/***"},
      {kRead, "/etc/$HOME ${X}"},  {kRead, "/home/u/a\nb/c$"}, {kRead, "/ends with "}};
  for (const auto& [c, object] : seen) d.add(c, object);
  Policy p;
  RuleReader reader(p, {.read = [](const std::string&) { return std::unexpected("none"); },
                        .variable = [](const std::string& n) -> std::optional<std::string> {
                          return n == "SYD_PWD" ? kFrom.directory : kFrom.home;
                        }});
  const auto ok = reader.text(write_profile(d, kFrom), "learned");
  ASSERT_TRUE(ok) << ok.error();
  RuleBook book(p);
  for (const auto& [c, object] : seen) {
    EXPECT_EQ(book.by_name(c, object).action, Action::kAllow) << object;
  }
  EXPECT_EQ(book.by_name(kRead, "/etc/other").action, Action::kDeny);
}

}  // namespace
}  // namespace usk::policy
