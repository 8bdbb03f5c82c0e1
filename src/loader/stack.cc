// The initial stack: the System V ABI's process stack, getauxval(3).
#include <elf.h>
#include <sys/mman.h>

#include <cstring>

#include "host/random.h"
#include "loader/load_steps.h"

namespace usk {
namespace {

constexpr uint64_t kInitialStack = 33 * platform::kPageSize;

// Collects what will be at the top of the stack, from the top downwards.
class StackWriter {
 public:
  explicit StackWriter(uint64_t top) : top_(top), at_(top) {}
  uint64_t push(std::span<const std::byte> bytes) {
    at_ -= bytes.size();
    pieces_.emplace_back(at_, std::vector<std::byte>(bytes.begin(), bytes.end()));
    return at_;
  }
  uint64_t push_string(const std::string& s) {
    return push(std::as_bytes(std::span(s.c_str(), s.size() + 1)));
  }
  void align(uint64_t to) { at_ &= ~(to - 1); }
  uint64_t at() const { return at_; }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> out(top_ - at_);
    for (auto& [addr, piece] : pieces_) {
      if (!piece.empty()) memcpy(out.data() + (addr - at_), piece.data(), piece.size());
    }
    return out;
  }

 private:
  uint64_t top_, at_;
  std::vector<std::pair<uint64_t, std::vector<std::byte>>> pieces_;
};

std::vector<uint64_t> push_strings(StackWriter& w, const std::vector<std::string>& strings) {
  std::vector<uint64_t> at(strings.size());
  for (size_t i = strings.size(); i-- > 0;) at[i] = w.push_string(strings[i]);
  return at;
}

}  // namespace

Result<void> build_stack(NewProgram& p, const StackContents& c) {
  StackWriter w(p.stack_top);
  auto& layout = p.mm->layout;
  w.push(std::vector<std::byte>(8));
  const uint64_t exec_name = w.push_string(c.exec_name);
  layout.env_end = w.at();
  const auto envp = push_strings(w, c.envp);
  layout.env_start = layout.arg_end = w.at();
  const auto argv = push_strings(w, c.argv);
  layout.arg_start = w.at();
  const uint64_t platform_name = w.push_string("x86_64");
  std::byte random[16];
  host::fill_random(random);
  const uint64_t random_at = w.push(random);

  std::vector<uint64_t> words;
  words.push_back(argv.size());
  words.insert(words.end(), argv.begin(), argv.end());
  words.push_back(0);
  words.insert(words.end(), envp.begin(), envp.end());
  words.push_back(0);
  auto aux = c.aux;
  aux.emplace_back(AT_RANDOM, random_at);
  aux.emplace_back(AT_EXECFN, exec_name);
  aux.emplace_back(AT_PLATFORM, platform_name);
  aux.emplace_back(AT_NULL, 0);
  for (auto& [type, value] : aux) {
    words.push_back(type);
    words.push_back(value);
    p.mm->auxv.push_back(type);
    p.mm->auxv.push_back(value);
  }
  w.align(16);
  if (words.size() % 2) w.push(std::vector<std::byte>(8));  // argc is 16-byte aligned.
  const uint64_t sp = w.push(std::as_bytes(std::span(words)));
  layout.start_stack = sp;

  const uint64_t size = page_up(p.stack_top - sp) + kInitialStack;
  TRY(p.mm->map(*p.cpu,
                {.addr = p.stack_top - size,
                 .length = size,
                 .prot = PROT_READ | PROT_WRITE | c.prot,
                 .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN,
                 .name = "[stack]"},
                p.limits));
  TRY(p.memory().copy_out(sp, w.bytes()));
  p.cpu->regs().set_sp(sp);
  return {};
}

uint64_t random_offset(const NewProgram& p, int bits) {
  if (!p.randomize) return 0;
  uint64_t r;
  host::fill_random(std::as_writable_bytes(std::span(&r, 1)));
  return (r & ((uint64_t(1) << bits) - 1)) * platform::kPageSize;
}

}  // namespace usk
