#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "kernel/run/run_state.h"

namespace usk {
namespace {

// The specification's table, kept as test data, against the list the kernel is built from.
TEST(RunStateEdges, AreThoseOfTheTable) {
  std::ifstream table(USK_SOURCE_DIR "/tests/data/run_states.tsv");
  ASSERT_TRUE(table.is_open());
  std::set<std::string> expected, built;
  std::string line;
  std::getline(table, line);  // Column names.
  while (std::getline(table, line)) expected.insert(line);
  for (const Edge& e : kEdges) {
    std::ostringstream row;
    row << e.order << '\t' << e.from << '\t' << e.to << '\t' << e.when;
    EXPECT_TRUE(built.insert(row.str()).second) << "listed twice: " << row.str();
  }
  EXPECT_EQ(built, expected);
}

TEST(RunStateEdges, DependOnTheOrder) {
  EXPECT_TRUE(is_edge(StopOrder::k48, "Syscall", "SyscallEnter"));
  EXPECT_FALSE(is_edge(StopOrder::k35, "SyscallEnter", "SyscallSeccomp"));
  EXPECT_TRUE(is_edge(StopOrder::k35, "SyscallEnter", "SyscallInvoke"));
  EXPECT_FALSE(is_edge(StopOrder::k48, "App", "ExitDone"));
}

}  // namespace
}  // namespace usk
