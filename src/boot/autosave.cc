#include "boot/autosave.h"

#include <fmt/format.h>

namespace usk {
namespace {
constexpr std::string_view kRandom = "random:";
}  // namespace

OrFailure<AutosavePlan> AutosavePlan::parse(const std::string& text) {
  AutosavePlan plan;
  if (text == "every-block") return plan;
  plan.when_ = When::kSyscall;
  if (text == "every-syscall") return plan;
  if (!text.starts_with(kRandom)) {
    return fail(
        fmt::format("--test-autosave={}: give every-block, every-syscall or random:SEED", text));
  }
  plan.when_ = When::kRandom;
  plan.random_.seed(uint32_t(std::strtoul(text.c_str() + kRandom.size(), nullptr, 10)));
  return plan;
}

std::string AutosavePlan::of_process(const std::string& text, int i) {
  if (!text.starts_with(kRandom)) return text;
  const unsigned long seed = std::strtoul(text.c_str() + kRandom.size(), nullptr, 10);
  return fmt::format("{}{}", kRandom, seed + unsigned(i));
}

void AutosavePlan::call_begins() {
  constexpr uint32_t kOneOf = 16;
  if (when_ == When::kSyscall || (when_ == When::kRandom && random_() % kOneOf == 0)) due_ = true;
}

void AutosavePlan::call_blocks() {
  if (when_ == When::kBlock) due_ = true;
}

bool PagesOnDemand::has(uint64_t at, uint64_t length) {
  const auto first = brought_.first(at, at + length);
  return first.start == at && first.end == at + length;
}

Result<void> PagesOnDemand::wait_for(uint64_t at, uint64_t length) {
  brought_.add(at, at + length);
  return {};
}

}  // namespace usk
