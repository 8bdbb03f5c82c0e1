// What every guest test stands on: TEST, the EXPECT and ASSERT macros, and a few helpers.
//
// A guest test is a plain static Linux program that knows nothing of Usk. Each case runs in a child
// process of its own (--no-fork: in the program itself), is the leader of its process group, has an
// empty scratch directory as its working directory, and is killed with all it started after a time
// limit. Checks may fail in any thread or descendant of the case.
#pragma once

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace guest {

struct Case {
  Case(const char* suite, const char* name, void (*run)());
  const char* suite;
  const char* name;
  void (*run)();
  Case* next = nullptr;
};

// Records a failed check of the running case.
void fail(const char* file, int line, const std::string& what);
// Ends the running case (its current process) after a failed ASSERT or MUST.
[[noreturn]] void abandon();
// Ends the running case, which says that it cannot run here and why.
[[noreturn]] void skip(const char* why);
bool any_failure();

void expect_status(const char* file, int line, int status, int want, const char* name);
std::string describe_errno(int error);
std::string describe_string(std::string_view text);

template <class T>
std::string describe(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<long long>(value));
  } else if constexpr (std::is_convertible_v<T, std::string_view>) {
    return describe_string(value);
  } else if constexpr (std::is_pointer_v<T>) {
    char text[32];
    snprintf(text, sizeof text, "%p", reinterpret_cast<const void*>(value));
    return text;
  } else {
    return std::to_string(value);
  }
}

inline std::string describe(std::nullptr_t) { return "nullptr"; }

// The failed result of a call: -1, or MAP_FAILED of those that return a pointer.
template <class T>
bool failed(T result) {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<intptr_t>(result) == -1;
  } else {
    return result == static_cast<T>(-1);
  }
}

template <class T>
bool expect_error(const char* file, int line, const char* text, T result, int got, int want) {
  if (failed(result) && got == want) return true;
  std::string how = failed(result) ? describe_errno(got) : "success (" + describe(result) + ")";
  fail(file, line, std::string(text) + ": " + how + " instead of " + describe_errno(want));
  return false;
}

// A file descriptor that is closed at the end of its scope.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }
  int get() const { return fd_; }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// A thread running a callable; joined at the latest when it goes out of scope.
class Thread {
 public:
  template <class F>
  explicit Thread(F body) {
    auto* start = new Start<F>{std::move(body), this};
    if (int error = pthread_create(&handle_, nullptr, Start<F>::run, start); error != 0) {
      fail(__FILE__, __LINE__, "pthread_create: " + describe_errno(error));
      abandon();
    }
  }
  Thread(const Thread&) = delete;
  ~Thread() { join(); }
  void join() {
    if (!std::exchange(joined_, true)) pthread_join(handle_, nullptr);
  }
  pthread_t handle() const { return handle_; }
  // The thread id, once the thread has begun.
  pid_t tid() const {
    pid_t tid;
    while ((tid = __atomic_load_n(&tid_, __ATOMIC_ACQUIRE)) == 0) usleep(100);
    return tid;
  }

 private:
  template <class F>
  struct Start {
    F body;
    Thread* owner;
    static void* run(void* argument) {
      auto* start = static_cast<Start*>(argument);
      __atomic_store_n(&start->owner->tid_, gettid(), __ATOMIC_RELEASE);
      start->body();
      delete start;
      return nullptr;
    }
  };

  pthread_t handle_{};
  pid_t tid_ = 0;
  bool joined_ = false;
};

// Forks; the child runs `body` and exits 0, or 1 when a check failed in it.
pid_t fork_case();
[[noreturn]] void exit_child();
template <class F>
pid_t fork_child(F body) {
  pid_t pid = fork_case();
  if (pid == 0) {
    body();
    exit_child();
  }
  return pid;
}

// The wait status of a child, in the form of wait(2).
int wait_for(pid_t pid);
// Runs `body` in a child process and returns its wait status.
template <class F>
int run_child(F body) {
  return wait_for(fork_child(std::move(body)));
}

// Waits until the thread or process `tid` sleeps in the kernel (its state in /proc is S).
void wait_until_blocked(pid_t tid);
// Waits until the state letter of `pid` in /proc is one of `states`.
void wait_for_state(pid_t pid, const char* states);

bool is_root();
// Whether the effective set holds this capability (CAP_*).
bool has_capability(int capability);
// Becomes an ordinary user without capabilities when root, and opens the scratch directory to it.
void become_unprivileged();

// The scratch directory's absolute path.
std::string scratch();
// For a loop that makes calls again and again, so that chance has its say: `n`, or few of them
// where each call takes milliseconds (--few-rounds).
int rounds(int n);
std::string read_file(const char* path);
void write_file(const char* path, std::string_view content);
// The value of "Name:" in a /proc file of such lines, without surrounding blanks; "" when absent.
std::string proc_field(const char* path, const char* name);

// Milliseconds of CLOCK_MONOTONIC.
int64_t now_ms();
void sleep_ms(int64_t ms);

inline timespec ms_to_timespec(int64_t ms) { return {ms / 1000, ms % 1000 * 1000000}; }

// Installs a handler; flags as for sigaction(2).
void handle_signal(int signal, void (*handler)(int), int flags = 0);
void handle_signal_info(int signal, void (*handler)(int, siginfo_t*, void*), int flags = 0);
void block_signal(int signal);
void unblock_signal(int signal);

}  // namespace guest

using guest::UniqueFd;

#define TEST(suite, name)                                                  \
  static void suite##_##name();                                            \
  static guest::Case suite##_##name##_case(#suite, #name, suite##_##name); \
  static void suite##_##name()

// Where a later test mode saves and restores the whole program.
#define CHECKPOINT() ((void)0)

#define GUEST_COMPARE(a, op, b, then)                                                          \
  do {                                                                                         \
    auto left_ = (a);                                                                          \
    auto right_ = (b);                                                                         \
    if (!guest::compare_##op(left_, right_)) {                                                 \
      guest::fail(__FILE__, __LINE__,                                                          \
                  std::string(#a " " #op " " #b ": got ") + guest::describe(left_) + " and " + \
                      guest::describe(right_));                                                \
      then;                                                                                    \
    }                                                                                          \
  } while (0)

#define GUEST_COMPARISON(name, op)                                         \
  template <class A, class B>                                              \
  bool compare_##name(const A& a, const B& b) {                            \
    if constexpr (std::is_convertible_v<A, std::string_view> &&            \
                  std::is_convertible_v<B, std::string_view>) {            \
      return std::string_view(a) op std::string_view(b);                   \
    } else if constexpr (std::is_integral_v<A> && std::is_integral_v<B>) { \
      using Common = std::common_type_t<A, B>;                             \
      return static_cast<Common>(a) op static_cast<Common>(b);             \
    } else {                                                               \
      return a op b;                                                       \
    }                                                                      \
  }

namespace guest {
GUEST_COMPARISON(eq, ==)
GUEST_COMPARISON(ne, !=)
GUEST_COMPARISON(lt, <)
GUEST_COMPARISON(le, <=)
GUEST_COMPARISON(gt, >)
GUEST_COMPARISON(ge, >=)
}  // namespace guest

#define EXPECT_EQ(a, b) GUEST_COMPARE(a, eq, b, )
#define EXPECT_NE(a, b) GUEST_COMPARE(a, ne, b, )
#define EXPECT_LT(a, b) GUEST_COMPARE(a, lt, b, )
#define EXPECT_LE(a, b) GUEST_COMPARE(a, le, b, )
#define EXPECT_GT(a, b) GUEST_COMPARE(a, gt, b, )
#define EXPECT_GE(a, b) GUEST_COMPARE(a, ge, b, )
#define ASSERT_EQ(a, b) GUEST_COMPARE(a, eq, b, guest::abandon())
#define ASSERT_NE(a, b) GUEST_COMPARE(a, ne, b, guest::abandon())
#define ASSERT_LT(a, b) GUEST_COMPARE(a, lt, b, guest::abandon())
#define ASSERT_GE(a, b) GUEST_COMPARE(a, ge, b, guest::abandon())

#define EXPECT_TRUE(condition)                                                 \
  do {                                                                         \
    if (!(condition)) guest::fail(__FILE__, __LINE__, #condition " is false"); \
  } while (0)
#define EXPECT_FALSE(condition)                                            \
  do {                                                                     \
    if (condition) guest::fail(__FILE__, __LINE__, #condition " is true"); \
  } while (0)
#define ASSERT_TRUE(condition)                                 \
  do {                                                         \
    if (!(condition)) {                                        \
      guest::fail(__FILE__, __LINE__, #condition " is false"); \
      guest::abandon();                                        \
    }                                                          \
  } while (0)

// The value of a call that must not fail; the case ends when it does.
#define MUST(call)                                                                \
  ({                                                                              \
    auto result_ = (call);                                                        \
    if (guest::failed(result_)) {                                                 \
      guest::fail(__FILE__, __LINE__, #call ": " + guest::describe_errno(errno)); \
      guest::abandon();                                                           \
    }                                                                             \
    result_;                                                                      \
  })
#define ASSERT_OK(call) ((void)MUST(call))
#define EXPECT_OK(call)                                                           \
  do {                                                                            \
    if (guest::failed(call))                                                      \
      guest::fail(__FILE__, __LINE__, #call ": " + guest::describe_errno(errno)); \
  } while (0)
// The call fails, and with just this error.
#define EXPECT_ERR(call, error)                                            \
  do {                                                                     \
    errno = 0;                                                             \
    auto result_ = (call);                                                 \
    guest::expect_error(__FILE__, __LINE__, #call, result_, errno, error); \
  } while (0)
// A wait status says that the process exited with this code, or was killed by this signal.
#define EXPECT_EXITED(status, code) \
  guest::expect_status(__FILE__, __LINE__, status, (code) << 8, "exit code " #code)
#define EXPECT_KILLED(status, signal) \
  guest::expect_status(__FILE__, __LINE__, (status) & ~0x80, signal, #signal)

// For the case as a whole: it needs this capability (CAP_*), or it is skipped.
#define NEEDS_CAPABILITY(capability)                                           \
  do {                                                                         \
    if (!guest::has_capability(capability)) guest::skip("needs " #capability); \
  } while (0)
#define SKIP(why) guest::skip(why)
