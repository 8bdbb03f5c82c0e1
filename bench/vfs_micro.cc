// What the file system code itself takes, without a guest or a platform: Google Benchmark.
//   build/release/bench/vfs_micro [--benchmark_filter=Stat]
// The tree is the host's /usr under a private layer, as in a sandbox.
#include <benchmark/benchmark.h>

#include "fs/hostfs/hostfs.h"
#include "fs/overlay/overlay.h"
#include "fs/vfs/vfs_testing.h"

namespace usk {
namespace {

testing::World& world() {
  static testing::World w = [] {
    auto lower = make_hostfs(*host::open_dir("/usr"), {});
    return testing::World(*make_overlay({*lower}, {}));
  }();
  return w;
}

void Walk(benchmark::State& state, const char* path) {
  for (auto _ : state) benchmark::DoNotOptimize(world().walk(path));
}
BENCHMARK_CAPTURE(Walk, one, "/lib");
BENCHMARK_CAPTURE(Walk, four, "/share/zoneinfo/Europe/Berlin");
BENCHMARK_CAPTURE(Walk, missing, "/share/zoneinfo/Europe/Atlantis");

void Stat(benchmark::State& state) {
  for (auto _ : state) {
    auto place = world().walk("/share/zoneinfo/Europe/Berlin");
    benchmark::DoNotOptimize(place->inode().getattr());
  }
}
BENCHMARK(Stat);

void OpenClose(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(world().open("/share/zoneinfo/Europe/Berlin"));
}
BENCHMARK(OpenClose);

void OpenRead(benchmark::State& state) {
  std::vector<std::byte> buffer(4096);
  for (auto _ : state) {
    auto file = world().open("/share/zoneinfo/Europe/Berlin");
    KernelOut out(buffer);
    uint64_t pos = 0;
    benchmark::DoNotOptimize((*file)->read(out, pos));
  }
}
BENCHMARK(OpenRead);

void ListDirectory(benchmark::State& state) {
  for (auto _ : state) {
    auto dir = world().open("/bin", O_RDONLY | O_DIRECTORY);
    testing::ListSink sink;
    uint64_t pos = 0;
    benchmark::DoNotOptimize((*dir)->read_dir(sink, pos));
  }
}
BENCHMARK(ListDirectory);

}  // namespace
}  // namespace usk

BENCHMARK_MAIN();
