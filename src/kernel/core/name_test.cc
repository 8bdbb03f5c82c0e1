#include "kernel/core/name.h"

#include <gtest/gtest.h>

namespace usk {
namespace {

const CoreFacts kFacts = {.pid = 7,
                          .root_pid = 70,
                          .tid = 8,
                          .root_tid = 80,
                          .uid = 1000,
                          .gid = 100,
                          .dumpable = 1,
                          .signal = 11,
                          .time = 1234,
                          .host = "a/b",
                          .comm = "..",
                          .executable = "/usr/bin/prog",
                          .limit = 4096,
                          .cpu = 3};

TEST(CoreName, PlainNameAndPid) {
  EXPECT_EQ(core_name("core", false, kFacts), "core");
  EXPECT_EQ(core_name("core", true, kFacts), "core.7");
  EXPECT_EQ(core_name("core-%p", true, kFacts), "core-7");
  EXPECT_EQ(core_name("%P", true, kFacts), "70.7");
  EXPECT_EQ(core_name("%%p", true, kFacts), "%p.7");
  EXPECT_EQ(core_name("", true, kFacts), ".7");
  EXPECT_EQ(core_name("", false, kFacts), "");
}

TEST(CoreName, Specifiers) {
  EXPECT_EQ(core_name("/c/%i.%I.%u.%g.%d.%s.%t.%c.%C", false, kFacts),
            "/c/8.80.1000.100.1.11.1234.4096.3");
  EXPECT_EQ(core_name("%f %E", false, kFacts), "prog !usr!bin!prog");
}

TEST(CoreName, NamesLeadNowhereElse) {
  EXPECT_EQ(core_name("%h", false, kFacts), "a!b");
  EXPECT_EQ(core_name("%e", false, kFacts), "!.");
  EXPECT_EQ(core_name("%f", false, {}), "!");
}

TEST(CoreName, UnknownOnesAndALoneSignAreDropped) {
  EXPECT_EQ(core_name("a%zb%", false, kFacts), "ab");
}

TEST(CoreCommand, WordsAreSplitBeforeTheyAreExpanded) {
  CoreFacts facts = kFacts;
  facts.comm = "two words";
  EXPECT_EQ(core_command("|/bin/dump  -p%p %e", facts),
            (std::vector<std::string>{"/bin/dump", "-p7", "two words"}));
  EXPECT_TRUE(core_command("| ", facts).empty());
}

}  // namespace
}  // namespace usk
