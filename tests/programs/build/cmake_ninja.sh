# needs: cmake ninja g++
# limit: 180
cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.20)
project(demo CXX)
set(CMAKE_CXX_STANDARD 20)
find_package(Threads REQUIRED)
add_library(part STATIC part.cc)
add_executable(demo main.cc)
target_link_libraries(demo part Threads::Threads)
enable_testing()
add_test(NAME runs COMMAND demo)
END
echo 'int part(int x) { return x + 1; }' >part.cc
cat >main.cc <<'END'
#include <iostream>
#include <thread>
#include <vector>
#include <stdexcept>
int part(int);
int main() {
  std::vector<std::thread> threads;
  int results[4];
  for (int i = 0; i < 4; ++i) threads.emplace_back([i, &results] { results[i] = part(i); });
  for (auto& t : threads) t.join();
  try { throw std::runtime_error("caught"); } catch (const std::exception& e) { std::cout << e.what() << "\n"; }
  std::cout << results[0] + results[1] + results[2] + results[3] << "\n";
}
END
cmake -S . -B out -G Ninja >/dev/null && ninja -C out -j2 >/dev/null && out/demo; ninja -C out | tail -n 1
ctest --test-dir out 2>&1 | grep 'tests passed'; touch part.cc; ninja -C out | grep -c '^\['
