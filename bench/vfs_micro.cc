// What the file system code itself takes, without a guest or a platform: Google Benchmark.
//   build/release/bench/vfs_micro [--benchmark_filter=Stat]
// The tree is the host's /usr under a private layer, as in a sandbox; FirstStat looks at each file
// of the directory that is named BENCH_TREE, such as build/bench-data/tree.
#include <benchmark/benchmark.h>
#include <dirent.h>

#include <cstdlib>

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

// Attributes of all that is below a directory, as find(1) asks for them; the number of files.
size_t stat_all(testing::World& w, const std::string& at) {
  auto dir = w.open(at, O_RDONLY | O_DIRECTORY);
  if (!dir) return 0;
  testing::ListSink sink;
  uint64_t pos = 0;
  benchmark::DoNotOptimize((*dir)->read_dir(sink, pos));
  size_t count = 0;
  for (size_t i = 2; i < sink.names.size(); i++) {  // After "." and "..".
    auto place = walk(w.ctx, (*dir)->path(), sink.names[i], 0);
    if (!place) continue;
    benchmark::DoNotOptimize(place->inode().getattr());
    count++;
    if (sink.types[i] == DT_DIR) count += stat_all(w, at + "/" + sink.names[i]);
  }
  return count;
}

void FirstStat(benchmark::State& state) {
  const char* tree = getenv("BENCH_TREE");
  auto at = host::open_dir(tree ? tree : "/usr/include");
  if (!at) return state.SkipWithError("no such directory");
  size_t count = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto w = std::make_unique<testing::World>(*make_overlay({*make_hostfs(*at, {})}, {}));
    state.ResumeTiming();
    count += stat_all(*w, "/");
    state.PauseTiming();
    w.reset();
    state.ResumeTiming();
  }
  state.counters["each"] =
      benchmark::Counter(double(count), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(FirstStat)->Iterations(3);

}  // namespace
}  // namespace usk

BENCHMARK_MAIN();
