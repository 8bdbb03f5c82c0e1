// What /proc/PID shows of memory: proc_pid_maps(5), proc_pid_smaps(5), proc_pid_cmdline(5),
// proc_pid_environ(5), proc_pid_auxv(5), proc_pid_mem(5).
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include "fs/proc/inode.h"
#include "fs/proc/process_files.h"
#include "fs/proc/text_file.h"
#include "fs/vfs/saving.h"
#include "mm/code_write.h"
#include "platform/platform.h"

namespace usk::proc {
namespace {

std::string map_line(const Vma& v) {
  Attr a;
  std::string name = v.name;
  uint64_t offset = 0;
  if (v.file) {
    if (auto r = v.file->inode().getattr()) a = *r;
    name = name.empty() ? shown(v.file->path()) : "[anon_shmem:" + name + "]";
    offset = v.offset;
  } else if (!name.empty() && name[0] != '[') {
    name = "[anon:" + name + "]";
  }
  std::string line = fmt::format("{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ", v.start, v.end,
                                 v.prot & PROT_READ ? 'r' : '-', v.prot & PROT_WRITE ? 'w' : '-',
                                 v.prot & PROT_EXEC ? 'x' : '-', v.has(Vma::kShared) ? 's' : 'p',
                                 offset, major(a.dev), minor(a.dev), a.ino);
  constexpr size_t kNameColumn = 73;
  if (!name.empty()) line.resize(std::max(line.size(), kNameColumn), ' ');
  for (char c : name) line += c == '\n' ? std::string("\\012") : std::string(1, c);
  return line + "\n";
}

// Bytes of memory that are there, and those of them that are no file's.
struct Resident {
  uint64_t all = 0, own = 0;
};

// Asked in pieces: areas may be huge. What is beyond the most that is asked for counts as absent.
uint64_t count_pages(AddressSpace& mm, const Vma& v, platform::Space::Pages which) {
  constexpr int kMostPieces = 1 << 16;
  uint64_t n = 0, at = v.start;
  for (int i = 0; i < kMostPieces && at < v.end; i++) {
    const auto run = mm.next_pages(at, v.end, which);
    if (!run) break;
    n += run->end - run->start;
    at = run->end;
  }
  return n;
}

Resident resident_of(AddressSpace& mm, const Vma& v) {
  using enum platform::Space::Pages;
  Resident r{count_pages(mm, v, kThere), 0};
  if (!v.has(Vma::kShared)) r.own = std::min(r.all, count_pages(mm, v, kOwn));
  return r;
}

std::string smap_counts(uint64_t size, const Resident& resident, bool shared) {
  const uint64_t rss = resident.all >> 10, own = resident.own >> 10;
  const uint64_t clean = shared ? 0 : rss - own, ours = shared ? rss : 0;
  std::string out;
  if (size)
    out = fmt::format(
        "Size:           {:8} kB\nKernelPageSize: {:8} kB\n"
        "MMUPageSize:    {:8} kB\n",
        size >> 10, 4, 4);
  const std::pair<const char*, uint64_t> lines[] = {{"Rss:", rss},
                                                    {"Pss:", rss},
                                                    {"Shared_Clean:", ours},
                                                    {"Shared_Dirty:", 0},
                                                    {"Private_Clean:", clean},
                                                    {"Private_Dirty:", own},
                                                    {"Referenced:", rss},
                                                    {"Anonymous:", own},
                                                    {"LazyFree:", 0},
                                                    {"AnonHugePages:", 0},
                                                    {"ShmemPmdMapped:", 0},
                                                    {"FilePmdMapped:", 0},
                                                    {"Shared_Hugetlb:", 0},
                                                    {"Private_Hugetlb:", 0},
                                                    {"Swap:", 0},
                                                    {"SwapPss:", 0},
                                                    {"Locked:", 0}};
  for (auto& [name, kb] : lines) out += fmt::format("{:<16}{:8} kB\n", name, kb);
  return out;
}

std::string vm_flags(const Vma& v) {
  std::string out = "VmFlags:";
  auto add = [&](bool set, const char* flag) {
    if (set) out += fmt::format(" {}", flag);
  };
  add(v.prot & PROT_READ, "rd");
  add(v.prot & PROT_WRITE, "wr");
  add(v.prot & PROT_EXEC, "ex");
  add(v.has(Vma::kShared), "sh");
  add(v.max_prot & PROT_READ, "mr");
  add(v.max_prot & PROT_WRITE, "mw");
  add(v.max_prot & PROT_EXEC, "me");
  add(v.has(Vma::kGrowsDown), "gd");
  add(v.has(Vma::kLocked), "lo");
  add(v.has(Vma::kDontFork), "dc");
  add(v.has(Vma::kNoReserve), "nr");
  add(v.has(Vma::kDontDump), "dd");
  add(v.has(Vma::kHuge), "hg");
  add(v.has(Vma::kNoHuge), "nh");
  add(v.has(Vma::kWipeOnFork), "wf");
  return out + "\n";
}

// Bytes [start, end) of another's memory, at most `most`; what cannot be read ends it.
std::string memory_text(AddressSpace& mm, uint64_t start, uint64_t end, size_t most) {
  if (start == 0 || end <= start) return {};
  std::string out(std::min<uint64_t>(end - start, most), '\0');
  auto n = mm.read_forced(start, std::as_writable_bytes(std::span(out)));
  out.resize(n ? *n : 0);
  return out;
}

// The page that old programs call: not an area, but shown as one (proc_pid_maps(5)).
constexpr std::string_view kVsyscallLine =
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

constexpr size_t kMostText = 4 << 20;  // Arguments are a few MiB at most (execve(2)).

}  // namespace

Result<std::string> maps_text(const Subject& s) {
  const Ref<AddressSpace> mm = TRY(s.memory());
  std::string out;
  if (!mm) return out;
  for (const Vma& v : mm->areas()) out += map_line(v);
  return out += kVsyscallLine;
}

Result<std::string> smaps_text(const Subject& s) {
  const Ref<AddressSpace> mm = TRY(s.memory());
  std::string out;
  if (!mm) return out;
  for (const Vma& v : mm->areas()) {
    out += map_line(v) + smap_counts(v.length(), resident_of(*mm, v), v.has(Vma::kShared)) +
           "THPeligible:           0\n" + vm_flags(v);
  }
  out += kVsyscallLine;
  return out + smap_counts(platform::kPageSize, {}, false) + "VmFlags: ex\n";
}

Result<std::string> smaps_rollup_text(const Subject& s) {
  const Ref<AddressSpace> mm = TRY(s.memory());
  if (!mm) return Err(ESRCH);
  const std::vector<Vma> areas = mm->areas();
  if (areas.empty()) return std::string();
  std::string line =
      fmt::format("{:08x}-{:08x} ---p 00000000 00:00 0 ", areas.front().start, areas.back().end);
  line.resize(std::max<size_t>(line.size(), 73), ' ');
  Resident resident;
  for (const Vma& v : areas) {
    const Resident r = resident_of(*mm, v);
    resident.all += r.all;
    resident.own += r.own;
  }
  return line + "[rollup]\n" + smap_counts(0, resident, false);
}

// A program may have written over its arguments and on into the environment (setproctitle):
// without a zero at the end of the arguments, the text goes on to the first one.
Result<std::string> cmdline_text(const Subject& s) {
  const Ref<AddressSpace> mm = TRY(s.memory());
  if (!mm) return std::string();
  const auto& l = mm->layout;
  std::string text = memory_text(*mm, l.arg_start, l.arg_end, kMostText);
  if (text.empty() || text.back() == '\0' || l.env_start != l.arg_end) return text;
  text += memory_text(*mm, l.env_start, l.env_end, kMostText);
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

Result<std::string> environ_text(const Subject& s) {
  const Ref<AddressSpace> mm = TRY(s.memory());
  if (!mm) return std::string();
  return memory_text(*mm, mm->layout.env_start, mm->layout.env_end, kMostText);
}

Result<std::string> auxv_text(const Subject& s) {
  const Ref<AddressSpace> mm = TRY(s.memory());
  if (!mm) return std::string();
  const auto bytes = std::as_bytes(std::span(mm->auxv));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

namespace {

// Memory as it is now; kept from the time of opening, across execve(2).
class MemFile final : public File {
 public:
  MemFile(Ref<AddressSpace> mm, Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kSeek | kPread, std::move(creds)), mm_(std::move(mm)) {}
  explicit MemFile(Blank b) : File(b) {}
  USK_FIELDS_OF(File, mm_)

  Result<size_t> read(IoOut& dst, uint64_t& pos) override {
    std::array<std::byte, kChunk> chunk;
    size_t done = 0;
    while (mm_ && dst.size() > 0 && done < kMost) {
      const auto part = std::span(chunk).first(std::min(dst.size(), kChunk));
      auto n = mm_->read_forced(pos, part);
      if (!n || *n == 0) {
        if (done) break;
        return Err(EIO);
      }
      const size_t put = TRY(dst.put(part.first(*n)));
      pos += put;
      done += put;
      if (put < part.size()) break;
    }
    return done;
  }
  Result<size_t> write(IoIn& src, uint64_t& pos) override {
    std::array<std::byte, kChunk> chunk;
    size_t done = 0;
    while (mm_ && src.size() > 0 && done < kMost) {
      const size_t got = TRY(src.take(std::span(chunk).first(std::min(src.size(), kChunk))));
      auto n = write_for_program(*mm_, pos, std::span(chunk).first(got));
      if (!n || *n == 0) {
        if (done) break;
        return Err(failed_with(n, EACCES) ? EACCES : EIO);
      }
      pos += *n;
      done += *n;
      if (*n < got) break;
    }
    return done;
  }
  Result<uint64_t> seek(int64_t offset, int whence) override {
    if (whence == SEEK_CUR || whence == SEEK_SET) return File::seek(offset, whence);
    return Err(EINVAL);
  }

 private:
  static constexpr size_t kChunk = 4096, kMost = 1 << 20;
  Ref<AddressSpace> mm_;
};

class MemInode final : public ProcInode {
 public:
  using ProcInode::ProcInode;
  USK_FIELDS_OF(ProcInode)
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override {
    TRY(subject().check_attach());
    return make_ref<MemFile>(TRY(subject().memory()), std::move(path), flags, std::move(creds));
  }
};

}  // namespace

USK_SAVED(MemFile, "fs/proc/mem-file")
USK_SAVED(MemInode, "fs/proc/mem-inode")

Ref<Inode> make_mem_file(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<MemInode>(s, ino, e.mode);
}

}  // namespace usk::proc
