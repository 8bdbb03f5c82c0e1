// Any bytes as a rule file, which may include itself: no crash, and an error has a place.
#include "base/check.h"
#include "policy/rule_book.h"
#include "policy/rule_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usk::policy;
  const std::string text(reinterpret_cast<const char*>(data), size);
  Policy policy;
  int reads = 0;
  RuleReader reader(policy, {.read = [&](const std::string&) -> Parsed<std::string> {
                               if (++reads > 3) return std::unexpected("enough");
                               return text;
                             },
                             .variable = [](const std::string& name) -> std::optional<std::string> {
                               if (name.size() > 4) return std::nullopt;
                               return "/" + name;
                             }});
  const auto ok = reader.file("/fuzz/rules");
  CHECK(ok || ok.error().starts_with("/fuzz/"));
  RuleBook book(policy);
  for (size_t i = 0; i < std::min<size_t>(policy.rules().size(), 8); i++) {
    (void)book.by_name(Category::kRead, policy.rules()[i].pattern);
  }
  (void)policy.json();
  return 0;
}
