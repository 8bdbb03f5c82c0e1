// What seccomp filters take of a system call, by themselves: Google Benchmark. call_micro has the
// same within a whole call.
//   build/release/bench/seccomp_micro
#include <benchmark/benchmark.h>
#include <linux/audit.h>
#include <sys/syscall.h>

#include "kernel/seccomp/decisions.h"

namespace usk::seccomp {
namespace {

constexpr size_t kLength = 300;
constexpr uint32_t kNr = SYS_getppid;

sock_filter load(uint32_t offset) { return {BPF_LD | BPF_W | BPF_ABS, 0, 0, offset}; }
sock_filter end(uint32_t verdict) { return {BPF_RET | BPF_K, 0, 0, verdict}; }
// Goes on with the next instruction, whatever it finds.
sock_filter test(uint32_t value) { return {BPF_JMP | BPF_JEQ | BPF_K, 0, 0, value}; }

// A list of numbers; the call is none of them.
Program by_number() {
  Program p = {load(0)};
  while (p.size() < kLength - 1) p.push_back(test(uint32_t(1000 + p.size())));
  p.push_back(end(SECCOMP_RET_ALLOW));
  return p;
}

// The same, and then both halves of three arguments are looked at.
Program by_number_and_arguments() {
  Program p = by_number();
  p.resize(kLength - 13);
  for (uint32_t i = 0; i < 6; i++) {
    p.push_back(load(16 + 4 * i));
    p.push_back(test(0));
  }
  p.push_back(end(SECCOMP_RET_ALLOW));
  return p;
}

using AddTo = void(Program&, uint8_t deny);
// Nothing is known before the call is made: a program made of what `add` adds, each part of which
// may go to where the call is denied, in the middle of the program or at its end.
Program by_arguments(AddTo* add) {
  constexpr size_t kMiddle = kLength / 2;
  Program p;
  const auto fill_up_to = [&](size_t end) {
    while (p.size() + 4 <= end) add(p, uint8_t(end + 1 - p.size()));
    while (p.size() < end) p.push_back({BPF_MISC | BPF_TAX, 0, 0, 0});
  };
  fill_up_to(kMiddle - 2);
  p.push_back({BPF_JMP | BPF_JA, 0, 0, 1});
  p.push_back(end(SECCOMP_RET_KILL_PROCESS));
  fill_up_to(kLength - 2);
  p.push_back(end(SECCOMP_RET_ALLOW));
  p.push_back(end(SECCOMP_RET_KILL_PROCESS));
  return p;
}

sock_filter load_some(const Program& p) { return load(uint32_t(16 + p.size() % 12 * 4)); }
sock_filter deny_if_equal(const Program& p, uint8_t deny) {
  return {BPF_JMP | BPF_JEQ | BPF_K, uint8_t(deny - 2), 0, uint32_t(0x10000 + p.size())};
}
void add_equal(Program& p, uint8_t deny) {
  p.push_back(load_some(p));
  p.push_back(deny_if_equal(p, deny));
}
void add_masked(Program& p, uint8_t deny) {
  p.push_back(load_some(p));
  p.push_back({BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xff});
  p.push_back(deny_if_equal(p, uint8_t(deny - 1)));
}
void add_values(Program& p, uint8_t deny) {
  p.push_back(p.empty() ? load(16) : deny_if_equal(p, uint8_t(deny + 1)));
}
// Of different kinds.
void add_mixed(Program& p, uint8_t deny) {
  if (p.size() % 4) return add_equal(p, deny);
  p.push_back(load_some(p));
  p.push_back({BPF_JMP | BPF_JGE | BPF_K, 0, uint8_t(deny - 2), 0});
}
void add_arithmetic(Program& p, uint8_t) {
  p.push_back(load(16));
  p.push_back({BPF_ALU | BPF_ADD | BPF_K, 0, 0, 3});
  p.push_back({BPF_ALU | BPF_XOR | BPF_X, 0, 0, 0});
  p.push_back({BPF_MISC | BPF_TAX, 0, 0, 0});
}
void add_cells(Program& p, uint8_t) {
  p.push_back(load(16));
  p.push_back({BPF_ST, 0, 0, 3});
  p.push_back({BPF_LDX | BPF_MEM, 0, 0, 3});
  p.push_back({BPF_ALU | BPF_ADD | BPF_X, 0, 0, 0});
}

void judge(benchmark::State& state, Program program, int filters = 1) {
  Ref<Filter> newest;
  for (int i = 0; i < filters; i++) {
    Ref<Filter> f = *Filter::make(program, 0);
    if (!f->put_before(newest)) abort();
    newest = f;
  }
  seccomp_data data{};
  data.nr = kNr;
  data.arch = AUDIT_ARCH_X86_64;
  for (auto _ : state) {
    data.args[0]++;
    benchmark::DoNotOptimize(newest->judge(data));
  }
}

BENCHMARK_CAPTURE(judge, number_300, by_number());
BENCHMARK_CAPTURE(judge, number_then_arguments_300, by_number_and_arguments());
BENCHMARK_CAPTURE(judge, arguments_300, by_arguments(add_equal));
BENCHMARK_CAPTURE(judge, masked_arguments_300, by_arguments(add_masked));
BENCHMARK_CAPTURE(judge, one_argument_300_values, by_arguments(add_values));
BENCHMARK_CAPTURE(judge, mixed_arguments_300, by_arguments(add_mixed));
BENCHMARK_CAPTURE(judge, arithmetic_300, by_arguments(add_arithmetic));
BENCHMARK_CAPTURE(judge, memory_cells_300, by_arguments(add_cells));
BENCHMARK_CAPTURE(judge, number_300_x5, by_number(), 5);
BENCHMARK_CAPTURE(judge, number_then_arguments_300_x5, by_number_and_arguments(), 5);

}  // namespace
}  // namespace usk::seccomp

BENCHMARK_MAIN();
