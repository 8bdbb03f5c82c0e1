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

// Nothing is known before the call is made.
Program by_arguments() {
  Program p;
  while (p.size() < kLength - 2) {
    p.push_back(load(uint32_t(16 + p.size() % 12 * 4)));
    p.push_back(test(uint32_t(p.size())));
  }
  p.push_back(load(20));
  p.push_back(end(SECCOMP_RET_ALLOW));
  return p;
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
BENCHMARK_CAPTURE(judge, arguments_300, by_arguments());
BENCHMARK_CAPTURE(judge, number_300_x5, by_number(), 5);
BENCHMARK_CAPTURE(judge, number_then_arguments_300_x5, by_number_and_arguments(), 5);

}  // namespace
}  // namespace usk::seccomp

BENCHMARK_MAIN();
