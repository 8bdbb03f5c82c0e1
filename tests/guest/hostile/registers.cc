// Where the stub's code is entered, and with what registers.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <initializer_list>

#include "attacks.h"

void segment_bases() {
  for (uint64_t base : {uint64_t(0), uint64_t(0x1000), kAreas + 3 * kAreaSize, kBlob,
                        uint64_t(0x7fffffffe000), uint64_t(0x123456789000)}) {
    if (fork() == 0) {
      __asm__ volatile("wrgsbase %0" ::"r"(base));
      for (int i = 0; i < 50; i++) getppid(), getpid();
      _exit(0);
    }
  }
  while (wait(nullptr) > 0) {
  }
}

namespace {
// A frame for the host's rt_sigreturn: registers, flags and segments of our choice.
void crafted_frame(uint64_t flags, uint64_t segments, uint64_t ip, uint64_t mask, uint64_t fpu) {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  alignas(64) static uint64_t frame[256];
  memset(frame, 0, sizeof frame);
  uint64_t* m = frame + 5;  // uc_flags, uc_link, uc_stack; then the registers.
  m[15] = uint64_t(frame + 200);
  m[16] = ip;
  m[17] = flags;
  m[18] = segments;
  m[23] = fpu;
  frame[5 + 32] = mask;
  __asm__ volatile("mov %0, %%rsp; mov $15, %%eax; jmp *%1" ::"r"(frame), "r"(gadget) : "memory");
}
}  // namespace

void frame_with_bad_segments() { crafted_frame(0x202, 0xdeadbeef, kBlob, ~0ull, 0); }
void frame_with_wild_flags() { crafted_frame(~0ull, 0x2b000000000033, kBlob + 0x40, ~0ull, 0); }
void frame_far_away() { crafted_frame(0x202, 0x2b000000000033, 1ull << 63, 0, 0); }
void frame_with_bad_state() { crafted_frame(0x202, 0x2b000000000033, kBlob + 0x40, 0, kBlob + 8); }

void alternate_stack_elsewhere() {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  stack_t s{};
  s.ss_sp = mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  s.ss_size = 65536;
  through_blob(gadget, SYS_sigaltstack, long(&s), 0);
  getppid();
}

namespace {
// Frames at random, but near to what is right: `enter` hands one over.
void fuzz_frames(int count, void (*enter)(uint64_t* frame)) {
  alignas(64) static uint64_t frame[512];
  static constexpr uint64_t kSegments[] = {0x33, 0x2b, 0x23, 0x10, 0x08, 0x1b, 0x63, 0, 0xffff};
  for (int i = 0; i < count; i++) {
    const uint64_t seed = random_word();
    in_brief_child([&] {
      for (uint64_t& w : frame) w = 0;
      uint64_t* m = frame + 5;
      for (int r = 0; r < 17; r++) m[r] = random_word() % 2 ? random_word() : 0;
      m[15] = uint64_t(frame + 500);
      m[16] = seed % 4 == 0   ? random_word()
              : seed % 4 == 1 ? kBlob + random_word() % 0x2000
              : seed % 4 == 2 ? 1ull << (random_word() % 64)
                              : uint64_t(&fuzz_frames);
      m[17] = random_word() % 2 ? random_word() : 0x202;
      m[18] = kSegments[random_word() % 9] | kSegments[random_word() % 9] << 16 |
              kSegments[random_word() % 9] << 48;
      frame[0] = random_word() % 2 ? 7 : random_word();
      // The extended state: legacy part, what the host keeps there, header.
      uint64_t* fpu = frame + 64;
      for (int w = 0; w < 72; w++) fpu[w] = random_word() % 4 ? 0 : random_word();
      if (random_word() % 4) fpu[58] = 0x46505853 | 836ull << 32, fpu[59] = 7, fpu[60] = 832;
      if (random_word() % 2) fpu[64] = 7, fpu[65] = random_word() % 2 ? 1ull << 63 : 0;
      m[23] = seed % 3 ? uint64_t(fpu) : random_word() % 2 ? kAreas + random_word() % 0x8000 : 0;
      frame[37] = random_word() % 2 ? ~0ull : 0;
      enter(frame);
    });
  }
}
}  // namespace

void frames_of_the_host() {
  fuzz_frames(150, [](uint64_t* frame) {
    const uint64_t gadget = syscall_gadget();
    __asm__ volatile("mov %0, %%rsp; mov $15, %%eax; jmp *%1" ::"r"(frame), "r"(gadget) : "memory");
  });
}
void frames_of_the_kernel() {
  fuzz_frames(300, [](uint64_t* frame) {
    __asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall" ::"r"(frame) : "memory");
  });
}

namespace {
void* calls(void*) {
  for (;;) syscall(SYS_getppid), syscall(SYS_getpid);
}
}  // namespace

// Calls with the area of another thread, which is in a call as well.
void areas_of_others() {
  pthread_t t;
  for (int i = 0; i < 2; i++) pthread_create(&t, nullptr, calls, nullptr);
  for (uint64_t other = 1; other < 4; other++) {
    in_child([=] {
      pthread_t sibling;
      pthread_create(&sibling, nullptr, calls, nullptr);
      for (int i = 0; i < 2000; i++) {
        __asm__ volatile("wrgsbase %0" ::"r"(kAreas + (i % 2 ? other : 0) * kAreaSize));
        syscall(SYS_getppid);
      }
    });
  }
}

namespace {
constexpr size_t kSites = 64, kSiteSize = 16;
unsigned char* g_code;

void write_site(unsigned char* at, uint32_t nr) {
  const unsigned char site[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3};
  memcpy(at, site, sizeof site);
  memcpy(at + 1, &nr, sizeof nr);
}
void* call_sites(void*) {
  for (uint64_t i = 0;; i++) {
    unsigned char* const site = g_code + i % kSites * kSiteSize;
    long r;
    // Also into the middle: the number is there already.
    unsigned char* const entry = i % 7 == 0 ? site + 5 : site;
    __asm__ volatile("call *%1" : "=a"(r) : "r"(entry), "a"(SYS_getppid) : "rcx", "r11", "memory");
  }
}
void ignore(int) {}
}  // namespace

// Hot call sites that change, move and go while others run them.
void patched_sites() {
  const int all = PROT_READ | PROT_WRITE | PROT_EXEC;
  const auto fresh = [&](void* at) {
    auto* p = static_cast<unsigned char*>(
        mmap(at, 4096, all, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0));
    for (size_t i = 0; i < kSites; i++) write_site(p + i * kSiteSize, SYS_getppid);
    return p;
  };
  g_code = fresh(nullptr);
  for (int s : {SIGSEGV, SIGILL, SIGTRAP}) signal(s, ignore);
  for (int round = 0; round < 30; round++) {
    in_child([&] {
      pthread_t t;
      for (int i = 0; i < 2; i++) pthread_create(&t, nullptr, call_sites, nullptr);
      for (int i = 0; i < 60; i++) {
        const uint64_t v = random_word();
        unsigned char* const site = g_code + v % kSites * kSiteSize;
        switch (v >> 32 & 7) {
          case 0: write_site(site, SYS_getppid); break;
          case 1: site[v >> 40 & 7] = static_cast<unsigned char>(v >> 48); break;
          case 2:
            mprotect(g_code, 4096, PROT_READ | PROT_EXEC);
            mprotect(g_code, 4096, all);
            break;
          case 3: fresh(g_code); break;
          case 4:
            mremap(g_code, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, g_code + 0x100000);
            fresh(g_code);
            break;
          case 5:
            if (fork() == 0) {
              g_code[0] = 0xc3;
              _exit(0);
            }
            break;
          case 6:
            madvise(g_code, 4096, MADV_DONTNEED);
            fresh(g_code);
            break;
          default: usleep(200);
        }
      }
      _exit(0);
    });
  }
}

namespace {
struct Registers {
  uint64_t rax, rdi, rsi, rdx, r10, stack;
  bool own_gs;
};

// Jumps into the blob with chosen registers.
void jump_to(uint64_t at, const Registers& r) {
  alignas(64) static char stack[65536];
  const uint64_t sp = r.stack ? r.stack : uint64_t(stack + 32768);
  if (r.own_gs) __asm__ volatile("wrgsbase %0" ::"r"(uint64_t(stack)));
  register uint64_t target __asm__("r15") = at;
  register uint64_t r10 __asm__("r10") = r.r10;
  register uint64_t number __asm__("r14") = r.rax;
  // A stack of zeroes, and a last call here: what returns or resumes does not run on in the
  // program.
  __asm__ volatile(
      "mov %1, %%rsp\n xor %%ebp, %%ebp\n xor %%ebx, %%ebx\n mov $110, %%eax\n syscall\n"
      "mov %%r14, %%rax\n jmp *%0" ::"r"(target),
      "r"(sp), "D"(r.rdi), "S"(r.rsi), "d"(r.rdx), "r"(r10), "r"(number)
      : "rax", "rcx", "r11", "memory");
}

void jump_everywhere_with(const Registers& r) {
  constexpr int kAtOnce = 8;
  const size_t size = blob_size();
  for (uint64_t offset = 0; offset < size; offset += kAtOnce) {
    pid_t children[kAtOnce];
    for (int i = 0; i < kAtOnce; i++) {
      children[i] = fork();
      if (children[i] == 0) {
        jump_to(kBlob + offset + i, r);
        _exit(0);
      }
    }
    usleep(1000);
    for (pid_t child : children) {
      if (child < 0) perror("fork");
      if (child > 0) kill(child, SIGKILL);
    }
    while (wait(nullptr) > 0) {
    }
  }
}
}  // namespace

void jump_everywhere() {
  static char path[] = "/etc/passwd";
  // An open(2); a signal's return, with gs in memory of the guest's; a mapping of the shared file,
  // on the stack of the area.
  jump_everywhere_with({SYS_open, uint64_t(path), 0, 0, 0, 0, false});
  jump_everywhere_with({SYS_rt_sigreturn, 0, 0, 0, 0, 0, true});
  jump_everywhere_with({SYS_mmap, 0x100000000, 4096, 7, 0x11, kAreas + 0x1f00, false});
}
