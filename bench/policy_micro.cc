// What a decision of a policy with a thousand rules takes: Google Benchmark.
//   build/release/bench/policy_micro
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "base/check.h"
#include "enforce/enforcer.h"
#include "fs/hostfs/hostfs.h"
#include "fs/overlay/overlay.h"
#include "fs/vfs/vfs_testing.h"
#include "policy/rule_book.h"

namespace usk::policy {
namespace {

// A thousand rules: directories as profiles have them, and patterns that look for names anywhere.
Policy thousand_rules() {
  Policy p;
  const auto add = [&](const std::string& rule) { CHECK(p.apply(rule, {"bench", 1})); };
  for (int i = 0; i < 900; i++) add(fmt::format("allow/read,stat,exec+/usr/share/pack{}/***", i));
  for (int i = 0; i < 50; i++) add(fmt::format("deny/read+/**/.secret{}/***", i));
  for (int i = 0; i < 50; i++) add(fmt::format("deny/write+/home/*/.config/app{}*", i));
  return p;
}

void Decide(benchmark::State& state, const char* path) {
  const Policy policy = thousand_rules();
  RuleBook book(policy);
  for (auto _ : state) benchmark::DoNotOptimize(book.by_name(Category::kRead, path));
}
BENCHMARK_CAPTURE(Decide, matched, "/usr/share/pack512/doc/README.md");
BENCHMARK_CAPTURE(Decide, unmatched, "/etc/ld.so.cache");
BENCHMARK_CAPTURE(Decide, home, "/home/user/.config/app7/settings.json");

// Paths that were never asked about: states of the automaton are made.
void DecideFresh(benchmark::State& state) {
  const Policy policy = thousand_rules();
  RuleBook book(policy);
  uint64_t n = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(book.by_name(Category::kRead, fmt::format("/tmp/file{}", n++)));
  }
}
BENCHMARK(DecideFresh);

// Parsing, and putting the automaton together.
void Build(benchmark::State& state) {
  for (auto _ : state) {
    const Policy policy = thousand_rules();
    RuleBook book(policy);
    benchmark::DoNotOptimize(book.by_name(Category::kRead, "/etc"));
  }
}
BENCHMARK(Build)->Unit(benchmark::kMillisecond);

// open(2) and close(2) of a file of the host, as vfs_micro has it: without a policy, and with one.
void OpenClose(benchmark::State& state, bool guarded) {
  auto lower = make_hostfs(*host::open_dir("/usr"), {});
  const usk::testing::World world(*make_overlay({*lower}, {}));
  Policy policy = thousand_rules();
  CHECK(policy.apply("allow/all+/share/***", {"bench", 1}));
  const auto enforcer = Enforcer::make(std::move(policy), {});
  if (guarded) installed_guard = enforcer->get();
  for (auto _ : state) {
    auto file = world.open("/share/zoneinfo/Europe/Berlin");
    CHECK(file);
  }
  installed_guard = nullptr;
}
BENCHMARK_CAPTURE(OpenClose, plain, false);
BENCHMARK_CAPTURE(OpenClose, guarded, true);

}  // namespace
}  // namespace usk::policy

BENCHMARK_MAIN();
