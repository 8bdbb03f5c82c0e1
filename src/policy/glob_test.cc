#include "policy/glob.h"

#include <gtest/gtest.h>

namespace usk::policy {
namespace {

bool match(std::string_view pattern, std::string_view text) {
  const auto glob = parse_glob(pattern);
  EXPECT_TRUE(glob) << pattern << ": " << glob.error();
  return glob && matches(*glob, text);
}

struct Case {
  const char *pattern, *text;
  bool matches;
};

class GlobTable : public ::testing::TestWithParam<Case> {};

TEST_P(GlobTable, MatchesAsTheManualSays) {
  const Case& c = GetParam();
  EXPECT_EQ(match(c.pattern, c.text), c.matches) << c.pattern << " against " << c.text;
}

constexpr Case kCases[] = {
    {"/etc/passwd", "/etc/passwd", true},
    {"/etc/passwd", "/etc/passwd2", false},
    {"/etc/*", "/etc/passwd", true},
    {"/etc/*", "/etc/ssl/private", false},
    {"/etc/*", "/etc/", true},
    {"/etc/**", "/etc/ssl/private", true},
    {"/etc/**", "/etc", false},
    {"/etc/***", "/etc", true},
    {"/etc/***", "/etc/a/b", true},
    {"/etc/***", "/etcetera", false},
    {"/***", "/", true},
    {"/***", "/a/b", true},
    {"/**", "/", true},
    {"/usr/**/bin/bash", "/usr/bin/bash", true},
    {"/usr/**/bin/bash", "/usr/local/bin/bash", true},
    {"/usr/**/bin/bash", "/usr/a/b/bin/bash", true},
    {"/usr/**/bin/bash", "/usrbin/bash", false},
    {"/**/.ssh/***", "/home/u/.ssh/id", true},
    {"/**/.ssh/***", "/.ssh", true},
    {"/**/.ssh/***", "/home/u/.sshx", false},
    {"/a?c", "/abc", true},
    {"/a?c", "/a/c", false},
    {"/a[b-d]e", "/ace", true},
    {"/a[b-d]e", "/aee", false},
    {"/a[!b-d]e", "/aee", true},
    {"/a[^b-d]e", "/ace", false},
    {"/a[!b]c", "/a/c", false},
    {"/[]a]", "/]", true},
    {"/[a-]", "/-", true},
    {"/[\\]]", "/]", true},
    {"/[[:digit:]x]", "/7", true},
    {"/[[:digit:]x]", "/x", true},
    {"/[[:digit:]x]", "/y", false},
    {"/\\*", "/*", true},
    {"/\\*", "/a", false},
    {"/a**b", "/a/x/b", true},
    {"/a*b*c", "/axxbyyc", true},
    {"/a*b*c", "/axxbyy", false},
    {"@dbus-*", "@dbus-1", true},
    {"!memfd:*", "!memfd:x", true},
    {"/***/x", "/a/b/x", true},
};
INSTANTIATE_TEST_SUITE_P(Policy, GlobTable, ::testing::ValuesIn(kCases));

TEST(Glob, RefusesWhatCannotMatch) {
  for (const char* bad : {"", "/a[", "/a[b", "/a\\", "/[z-a]", "/[[:nothing:]]"}) {
    EXPECT_FALSE(parse_glob(bad)) << bad;
  }
  EXPECT_FALSE(parse_glob(std::string(kMaxPattern + 1, 'a')));
}

TEST(Glob, EscapesWhatMeansSomething) {
  const std::string odd = "/a*b?[c]\\d";
  EXPECT_TRUE(match(escape_glob(odd), odd));
  EXPECT_FALSE(match(escape_glob(odd), "/aXb?[c]\\d"));
}

TEST(Glob, KnowsItsLiteralBeginning) {
  EXPECT_EQ(parse_glob("/usr/lib*")->literal_prefix(), "/usr/lib");
  EXPECT_EQ(parse_glob("/usr/***")->literal_prefix(), "/usr");
  EXPECT_TRUE(parse_glob("/usr")->is_literal());
}

}  // namespace
}  // namespace usk::policy
