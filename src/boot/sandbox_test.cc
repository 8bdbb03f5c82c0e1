#include "boot/sandbox.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace usk {
namespace {

SandboxConfig config(std::vector<std::string> command) {
  SandboxConfig c;
  c.command = std::move(command);
  c.env = {"PATH=/usr/bin:/bin"};
  c.cwd = "/";
  return c;
}

// A sandbox takes over the standard streams of its process: each has a process of its own here.
void make_and_destroy(const SandboxConfig& c) {
  auto sandbox = Sandbox::make(c);
  const int code = sandbox ? 0 : sandbox.error().exit_code;
  if (sandbox) sandbox->reset();
  _exit(code);
}

TEST(Sandbox, MayGoWithoutHavingRun) {
  EXPECT_EXIT(make_and_destroy(config({"sleep", "100"})), testing::ExitedWithCode(0), "");
}

TEST(Sandbox, MayGoHalfMade) {
  EXPECT_EXIT(make_and_destroy(config({"no-such-command"})), testing::ExitedWithCode(127), "");
  SandboxConfig c = config({"true"});
  c.mounts.push_back({MountSpec::Kind::kReadOnly, "/no-such-directory", "/x"});
  EXPECT_EXIT(make_and_destroy(c), testing::ExitedWithCode(125), "");
}

}  // namespace
}  // namespace usk
