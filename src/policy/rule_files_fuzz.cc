// Any bytes as a rule file, which may include itself: no crash, an error has a place, and what was
// read is the same policy after it was saved.
#include "base/check.h"
#include "policy/rule_book.h"
#include "policy/rule_files.h"

namespace usk::policy {
namespace {

// Costs far more than the reading: for some inputs.
void save_and_show(const Policy& policy) {
  const std::string saved = policy.saved();
  const auto back = Policy::from_saved(saved);
  CHECK(back && back->saved() == saved);
  (void)policy.json();
  (void)policy.summary();
}

void ask(const Policy& policy) {
  RuleBook book(policy);
  for (size_t i = 0; i < std::min<size_t>(policy.rules().size(), 8); i++) {
    const std::string& name = policy.rules()[i].pattern;
    (void)book.by_name(Category::kRead, name);
    (void)book.may_move(name, "/fuzz", i % 2);
    (void)book.lock_against_move(name, "/fuzz/x", {.kind = FileKind(i % 7)});
  }
  (void)book.by_address(Category::kNetConnect, {.address = {10, 1, 2, 3}, .port = 80});
  (void)book.by_request(0x5401);
}

}  // namespace
}  // namespace usk::policy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usk::policy;
  // A line may include a profile: more of them are only slower.
  const std::string text(reinterpret_cast<const char*>(data), std::min<size_t>(size, 1000));
  Policy policy;
  int reads = 0;
  RuleReader reader(policy, {.read = [&](const std::string&) -> Parsed<std::string> {
                               if (++reads > 3) return std::unexpected("enough");
                               return text;
                             },
                             .variable = [](const std::string& name) -> std::optional<std::string> {
                               if (name.size() > 4) return std::nullopt;
                               return "/" + name;
                             },
                             .hosts = {{"a.example.org", {.address = {10, 1, 2, 3}, .bits = 32}}}});
  const auto ok = reader.file("/fuzz/rules");
  CHECK(ok || ok.error().starts_with("/fuzz/"));
  // Most texts have no rule at all, and a matcher of none is much work for nothing new.
  if (policy.rules().size() != Policy().rules().size()) ask(policy);
  const bool saves = size > 0 && (size + data[size / 2]) % 64 == 0;
  if (saves && policy.rules().size() < 100) save_and_show(policy);
  return 0;
}
