#include "enforce/audit.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "enforce/denial.h"
#include "enforce/names.h"

namespace usk {
namespace {

class Audit : public ::testing::Test {
 protected:
  Audit() {
    const int fd = mkstemp(name_.data());
    EXPECT_GE(fd, 0);
    close(fd);
  }
  ~Audit() override { unlink(name_.c_str()); }
  std::vector<std::string> lines() const {
    std::ifstream file(name_);
    std::vector<std::string> out;
    for (std::string line; std::getline(file, line);) out.push_back(line);
    return out;
  }
  void write(const std::vector<std::string>& all) const {
    std::ofstream file(name_);
    for (const std::string& line : all) file << line << "\n";
  }
  std::string name_ = "/tmp/usk-audit-XXXXXX";
};

TEST_F(Audit, EntriesVouchForEachOther) {
  {
    auto log = AuditLog::make(name_, {{"event", "start"}});
    ASSERT_TRUE(log) << log.error().message;
    (*log)->add({{"object", "/a\n\xff\",\"hash\":\""}});
    (*log)->add({{"object", "/b"}});
  }
  const auto whole = AuditLog::verify(name_);
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_NE(whole->find("4 entries"), std::string::npos) << *whole;
  const auto all = lines();
  ASSERT_EQ(all.size(), 4u);
  for (size_t i = 0; i < all.size(); i++) {
    auto missing = all;
    missing.erase(missing.begin() + long(i));
    write(missing);
    EXPECT_FALSE(AuditLog::verify(name_)) << "without line " << i;
    auto changed = all;
    changed[i][1] ^= 1;
    write(changed);
    EXPECT_FALSE(AuditLog::verify(name_)) << "with another line " << i;
  }
  write({});
  EXPECT_FALSE(AuditLog::verify(name_));
}

TEST(Denial, SaysAllInALineThatATerminalDoesNotObey) {
  Denial d;
  d.id = 3;
  d.tree = {{12, "c\033at"}, {1, "init"}};
  d.call = "openat";
  d.category = "read";
  d.object = "/a\nb";
  d.error = EACCES;
  d.rule = "deny/read+/a*";
  d.source = "rules:4";
  d.hint = "allow/read+/a\nb";
  EXPECT_EQ(d.text(),
            "denied #3: c\\x1bat[12] openat read \"/a\\x0ab\" (EACCES): rules:4 deny/read+/a*; "
            "to allow it: allow/read+/a\\x0ab");
  EXPECT_EQ(d.json()["ppid"], 1);
}

TEST(Names, SafeOnes) {
  for (const char* good : {"a", "file.txt", "a b", "\xc3\xa4", "a:b", "{x}", "..."}) {
    EXPECT_TRUE(is_safe_name(good)) << good;
  }
  for (const char* bad : {"-a", "~a", " a", "a ", "a\nb", "a\x7f", "a*", "a;b", "$a", "`", "\xff",
                          "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xc3"}) {
    EXPECT_FALSE(is_safe_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace usk
