#include "fs/tty/pty.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "base/fake_timers.h"
#include "fs/tty/devpts.h"
#include "fs/tty/tty_file.h"
#include "fs/vfs/file_testing.h"
#include "fs/vfs/saving_testing.h"

namespace usk {
namespace {

using namespace testing;

class FakeJobControl final : public JobControl {
 public:
  FakeJobControl() { set_job_control(this); }
  void signal_group(GroupId group, int signal) override { sent.push_back({group, signal}); }
  void hang_up(SessionId session, GroupId) override { hung.push_back(session); }
  void forget_terminal(SessionId session) override { forgotten.push_back(session); }
  std::vector<std::pair<GroupId, int>> sent;
  std::vector<SessionId> hung, forgotten;
};

using Signals = std::vector<std::pair<GroupId, int>>;

class PtyTest : public ::testing::Test {
 protected:
  PtyTest() {
    master_ = *open("ptmx");
    caller_.ioctl(*master_, TIOCSPTLCK, unlock_);
  }
  Path place(std::string name) { return Path(mount_, *mount_->root()->lookup(name)); }
  Result<Ref<File>> open(std::string name, int flags = O_RDWR | O_NOCTTY) {
    Path path = place(name);
    if (path.dentry->is_negative()) return Err(ENOENT);
    Ref<File> file = TRY(path.inode().open(path, flags, caller_.who));
    return file->finish_open(caller_, flags);
  }
  Ref<File> slave(int flags = O_RDWR | O_NOCTTY) { return *open("0", flags); }
  Termios attributes(File& file) {
    GuestTermios g{};
    EXPECT_TRUE(caller_.ioctl(file, TCGETS, g));
    return from_guest(Termios(), g);
  }
  template <class F>
  void change(File& file, F f) {
    Termios t = attributes(file);
    f(t);
    GuestTermios g = to_guest(t);
    EXPECT_TRUE(caller_.ioctl(file, TCSETS, g));
  }
  void make_raw(File& file, uint8_t min, uint8_t time) {
    change(file, [&](Termios& t) {
      t.lflag &= ~(ICANON | ECHO);
      t.cc[VMIN] = min;
      t.cc[VTIME] = time;
    });
  }

  FakeTimers timers_;
  FakeJobControl jobs_;
  FakeCaller caller_;
  FsTree tree_ = *make_devpts({.ptmxmode = 0666});
  Ref<Mount> mount_ = Mount::make(tree_, 0, "devpts");
  int unlock_ = 0;
  Ref<File> master_;
};

TEST_F(PtyTest, BytesGoBothWays) {
  auto s = slave();
  EXPECT_EQ(write_to(*s, "hi\n"), 3u);
  EXPECT_EQ(read_from(*master_), "hi\r\n");
  EXPECT_EQ(write_to(*master_, "cmd\n"), 4u);
  EXPECT_EQ(read_from(*s), "cmd\n");
  EXPECT_EQ(read_from(*master_), "cmd\r\n");
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
  EXPECT_TRUE(failed_with(read_from(*master_), EAGAIN));
}

TEST_F(PtyTest, NamesComeAndGo) {
  uint32_t n = 99;
  EXPECT_TRUE(caller_.ioctl(*master_, TIOCGPTN, n));
  EXPECT_EQ(n, 0u);
  auto second = *open("ptmx");
  caller_.ioctl(*second, TIOCGPTN, n);
  EXPECT_EQ(n, 1u);
  EXPECT_FALSE(place("1").dentry->is_negative());
  second.reset();
  EXPECT_TRUE(failed_with(open("1"), ENOENT));
  EXPECT_TRUE(failed_with(open("00"), ENOENT));
  EXPECT_TRUE(failed_with(open("x"), ENOENT));
}

TEST_F(PtyTest, ANumberUsedAgainIsANewTerminal) {
  auto held = place("0");   // As a cache of names holds it.
  master_ = *open("ptmx");  // Number 1, for number 0 is still in use; then 0 is free.
  auto again = *open("ptmx");
  uint32_t n = 99;
  caller_.ioctl(*again, TIOCGPTN, n);
  EXPECT_EQ(n, 0u);
  caller_.ioctl(*again, TIOCSPTLCK, unlock_);
  auto s = open("0");
  ASSERT_TRUE(s);
  write_to(**s, "new");
  EXPECT_EQ(read_from(*again), "new");
}

TEST_F(PtyTest, NodesLookLikeLinux) {
  auto attr = slave()->inode().getattr();
  EXPECT_EQ(attr->mode, S_IFCHR | 0600u);
  EXPECT_EQ(attr->rdev, 0x8800u);
  EXPECT_EQ(attr->ino, 3u);
  EXPECT_EQ(master_->inode().getattr()->rdev, 0x502u);
  EXPECT_EQ(tree_.fs->options(), ",mode=600,ptmxmode=666");
}

TEST_F(PtyTest, LockedUntilUnlocked) {
  auto second = *open("ptmx");
  EXPECT_TRUE(failed_with(open("1"), EIO));
  int locked = 0;
  caller_.ioctl(*second, TIOCGPTLCK, locked);
  EXPECT_EQ(locked, 1);
  caller_.ioctl(*second, TIOCSPTLCK, unlock_);
  EXPECT_TRUE(open("1"));
}

TEST_F(PtyTest, FreshMasterWaitsThenClosedSlaveIsEio) {
  EXPECT_EQ(master_->poll(), PollMask(POLLOUT | POLLWRNORM));
  EXPECT_TRUE(failed_with(read_from(*master_), EAGAIN));
  auto s = slave();
  write_to(*s, "tail");
  s.reset();
  EXPECT_TRUE(master_->poll() & POLLHUP);
  EXPECT_EQ(read_from(*master_), "tail");
  EXPECT_TRUE(failed_with(read_from(*master_), EIO));
  s = slave();
  EXPECT_FALSE(master_->poll() & POLLHUP);
  EXPECT_TRUE(failed_with(read_from(*master_), EAGAIN));
}

TEST_F(PtyTest, MasterCloseHangsUp) {
  auto s = slave(O_RDWR);
  EXPECT_TRUE(caller_.terminal);
  const Path path = place("0");
  auto waiter = make_ref<CountingWaiter>();
  s->queue().add(waiter, POLLIN);
  master_.reset();
  EXPECT_TRUE(waiter->take(POLLHUP));
  EXPECT_EQ(jobs_.hung, std::vector<SessionId>{10});
  EXPECT_EQ(read_from(*s), "");
  EXPECT_TRUE(failed_with(write_to(*s, "x"), EIO));
  EXPECT_EQ(s->poll() & (POLLERR | POLLHUP), PollMask(POLLERR | POLLHUP));
  GuestTermios g;
  EXPECT_TRUE(failed_with(caller_.ioctl(*s, TCGETS, g), EIO));
  int group = 10;
  EXPECT_TRUE(failed_with(caller_.ioctl(*s, TIOCSPGRP, group), ENOTTY));
  EXPECT_TRUE(failed_with(path.inode().open(path, O_RDWR, test_creds()), EIO));
}

TEST_F(PtyTest, LeaderGetsItsTerminalByOpening) {
  auto s = slave(O_RDWR);
  ASSERT_EQ(caller_.terminal.get(), &static_cast<TtyFile&>(*s).tty());
  int id = 0;
  EXPECT_TRUE(caller_.ioctl(*s, TIOCGSID, id));
  EXPECT_EQ(id, 10);
  EXPECT_TRUE(caller_.ioctl(*s, TIOCGPGRP, id));
  EXPECT_EQ(id, 10);
  FakeCaller other;
  other.session_id = other.group_id = 20;
  EXPECT_TRUE(s->finish_open(other, O_RDWR));
  EXPECT_FALSE(other.terminal);  // It has a session already.
}

TEST_F(PtyTest, OwnTtyStandsForTheTerminal) {
  auto alias = *open_own_tty(master_->inode(), Path(), O_RDWR, test_creds());
  EXPECT_TRUE(failed_with(alias->finish_open(caller_, O_RDWR), ENXIO));
  auto s = slave(O_RDWR);
  auto own = alias->finish_open(caller_, O_RDWR);
  ASSERT_TRUE(own);
  write_to(**own, "x");
  EXPECT_EQ(read_from(*master_), "x");
}

TEST_F(PtyTest, ControllingTerminalRules) {
  auto s = slave();
  FakeCaller member;
  member.leader = false;
  EXPECT_TRUE(failed_with(member.ioctl_value(*s, TIOCSCTTY), EPERM));
  EXPECT_TRUE(caller_.ioctl_value(*s, TIOCSCTTY));
  EXPECT_TRUE(caller_.ioctl_value(*s, TIOCSCTTY));  // Again: nothing to do.
  FakeCaller thief;
  thief.session_id = thief.group_id = 20;
  EXPECT_TRUE(failed_with(thief.ioctl_value(*s, TIOCSCTTY, 0), EPERM));
  EXPECT_TRUE(thief.ioctl_value(*s, TIOCSCTTY, 1));
  EXPECT_EQ(jobs_.forgotten, std::vector<SessionId>{10});
  EXPECT_TRUE(failed_with(thief.ioctl_value(*master_, TIOCSCTTY), EPERM));
}

TEST_F(PtyTest, GivingUpTheTerminal) {
  auto s = slave(O_RDWR);
  EXPECT_TRUE(caller_.ioctl_value(*s, TIOCNOTTY));
  EXPECT_EQ(jobs_.sent, (Signals{{10, SIGHUP}, {10, SIGCONT}}));
  EXPECT_EQ(jobs_.forgotten, std::vector<SessionId>{10});
  caller_.terminal = {};
  EXPECT_TRUE(failed_with(caller_.ioctl_value(*s, TIOCNOTTY), ENOTTY));
}

TEST_F(PtyTest, ForegroundGroup) {
  auto s = slave(O_RDWR);
  int group = 11;
  EXPECT_TRUE(caller_.ioctl(*s, TIOCSPGRP, group));
  group = 20;
  EXPECT_TRUE(failed_with(caller_.ioctl(*s, TIOCSPGRP, group), EPERM));
  group = 99;
  EXPECT_TRUE(failed_with(caller_.ioctl(*s, TIOCSPGRP, group), ESRCH));
  group = -1;
  EXPECT_TRUE(failed_with(caller_.ioctl(*s, TIOCSPGRP, group), EINVAL));
  EXPECT_TRUE(caller_.ioctl(*master_, TIOCGPGRP, group));
  EXPECT_EQ(group, 11);
  write_to(*master_, "\x03");
  EXPECT_EQ(jobs_.sent, (Signals{{11, SIGINT}}));
  FakeCaller stranger;
  EXPECT_TRUE(failed_with(stranger.ioctl(*s, TIOCGPGRP, group), ENOTTY));
}

TEST_F(PtyTest, BackgroundReadsAndWrites) {
  using Verdict = File::IoVerdict;
  auto s = slave(O_RDWR);
  EXPECT_EQ(s->before_io(caller_, false), Verdict::kGo);
  caller_.group_id = 11;
  EXPECT_EQ(s->before_io(caller_, false), Verdict::kSignalled);
  EXPECT_EQ(jobs_.sent, (Signals{{11, SIGTTIN}}));
  EXPECT_EQ(s->before_io(caller_, true), Verdict::kGo);  // Without TOSTOP.
  change(*s, [](Termios& t) { t.lflag |= TOSTOP; });
  EXPECT_EQ(s->before_io(caller_, true), Verdict::kSignalled);
  EXPECT_EQ(s->before_ioctl(caller_, TCSETS), Verdict::kSignalled);
  EXPECT_EQ(s->before_ioctl(caller_, TCGETS), Verdict::kGo);
  caller_.ignored = uint64_t(1) << SIGTTIN | uint64_t(1) << SIGTTOU;
  EXPECT_TRUE(failed_with(s->before_io(caller_, false), EIO));
  EXPECT_EQ(s->before_io(caller_, true), Verdict::kGo);
  caller_.ignored = 0;
  caller_.orphaned = true;
  EXPECT_TRUE(failed_with(s->before_io(caller_, true), EIO));
  EXPECT_TRUE(failed_with(s->before_ioctl(caller_, TIOCSPGRP), ENOTTY));
}

TEST_F(PtyTest, LeaderExit) {
  auto s = slave(O_RDWR);
  caller_.terminal->leader_exited(10);
  EXPECT_EQ(jobs_.sent, (Signals{{10, SIGHUP}}));
  EXPECT_EQ(jobs_.forgotten, std::vector<SessionId>{10});
  EXPECT_EQ(write_to(*s, "alive"), 5u);  // A pty is not hung up.
}

TEST_F(PtyTest, WindowSize) {
  auto s = slave(O_RDWR);
  winsize size{24, 80, 0, 0}, got{};
  EXPECT_TRUE(caller_.ioctl(*master_, TIOCSWINSZ, size));
  EXPECT_EQ(jobs_.sent, (Signals{{10, SIGWINCH}}));
  EXPECT_TRUE(caller_.ioctl(*s, TIOCSWINSZ, size));
  EXPECT_EQ(jobs_.sent.size(), 1u);  // Nothing changed.
  EXPECT_TRUE(caller_.ioctl(*s, TIOCGWINSZ, got));
  EXPECT_EQ(got.ws_col, 80);
}

TEST_F(PtyTest, AttributesInAllLayouts) {
  auto s = slave();
  GuestTermio old{};
  EXPECT_TRUE(caller_.ioctl(*s, TCGETA, old));
  EXPECT_EQ(old.c_lflag, 0x8a3b);
  old.c_lflag &= ~ECHO;
  EXPECT_TRUE(caller_.ioctl(*s, TCSETAW, old));
  EXPECT_FALSE(attributes(*s).l(ECHO));
  GuestTermios2 g2{};
  EXPECT_TRUE(caller_.ioctl(*master_, TCGETS2, g2));  // A master shows the slave's.
  EXPECT_EQ(g2.c_ospeed, 38400u);
  g2.c_cflag = (g2.c_cflag & ~CBAUD) | BOTHER;
  g2.c_ospeed = 12345;
  EXPECT_TRUE(caller_.ioctl(*s, TCSETS2, g2));
  EXPECT_TRUE(caller_.ioctl(*s, TCGETS2, g2));
  EXPECT_EQ(g2.c_ospeed, 12345u);
}

TEST_F(PtyTest, VminWaitsForBytes) {
  auto s = slave();
  make_raw(*s, 3, 0);
  write_to(*master_, "ab");
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
  EXPECT_EQ(s->poll() & POLLIN, 0u);
  EXPECT_EQ(read_from(*s, 2), "ab");  // No more was asked for.
  write_to(*master_, "cde");
  EXPECT_EQ(read_from(*s), "cde");
  s->set_flags(O_NONBLOCK);
  write_to(*master_, "f");
  EXPECT_EQ(read_from(*s), "f");
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
}

TEST_F(PtyTest, VtimeAloneIsATimeout) {
  auto s = slave();
  make_raw(*s, 0, 5);
  auto waiter = make_ref<CountingWaiter>();
  s->queue().add(waiter, POLLIN);
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
  timers_.advance(kNsPerSecond / 2);
  EXPECT_TRUE(waiter->take(POLLIN));
  EXPECT_EQ(read_from(*s), "");
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));  // The next read waits anew.
  write_to(*master_, "x");
  EXPECT_EQ(read_from(*s), "x");
  EXPECT_EQ(timers_.armed(), 0u);
}

TEST_F(PtyTest, VminAndVtimeIsBetweenBytes) {
  auto s = slave();
  make_raw(*s, 10, 5);
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
  EXPECT_EQ(timers_.armed(), 0u);
  write_to(*master_, "a");
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
  timers_.advance(kNsPerSecond * 4 / 10);
  write_to(*master_, "b");
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
  timers_.advance(kNsPerSecond * 4 / 10);
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
  timers_.advance(kNsPerSecond / 10);
  EXPECT_EQ(read_from(*s), "ab");
}

TEST_F(PtyTest, NoMinNoTimeNeverWaits) {
  auto s = slave();
  make_raw(*s, 0, 0);
  EXPECT_EQ(read_from(*s), "");
}

TEST_F(PtyTest, WaitEndedForgetsTheTimer) {
  auto s = slave();
  make_raw(*s, 0, 5);
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
  timers_.advance(kNsPerSecond * 4 / 10);
  s->wait_ended();
  EXPECT_EQ(timers_.armed(), 0u);
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
  timers_.advance(kNsPerSecond * 4 / 10);
  EXPECT_TRUE(failed_with(read_from(*s), EAGAIN));
}

TEST_F(PtyTest, PacketMode) {
  auto s = slave();
  int on = 1;
  EXPECT_TRUE(caller_.ioctl(*master_, TIOCPKT, on));
  write_to(*s, "data");
  EXPECT_EQ(read_from(*master_), std::string("\0data", 5));
  EXPECT_TRUE(caller_.ioctl_value(*s, TCFLSH, TCIFLUSH));
  EXPECT_TRUE(master_->poll() & POLLPRI);
  EXPECT_EQ(read_from(*master_), std::string(1, TIOCPKT_FLUSHREAD));
  change(*s, [](Termios& t) { t.iflag &= ~IXON; });
  EXPECT_EQ(read_from(*master_), std::string(1, TIOCPKT_NOSTOP));
  EXPECT_TRUE(caller_.ioctl_value(*s, TCXONC, TCOOFF));
  EXPECT_TRUE(caller_.ioctl_value(*s, TCXONC, TCOON));
  EXPECT_EQ(read_from(*master_), std::string(1, TIOCPKT_START));
  EXPECT_FALSE(master_->poll() & POLLPRI);
}

TEST_F(PtyTest, WritersAreBounded) {
  auto s = slave();
  make_raw(*s, 1, 0);
  const auto n = write_to(*master_, std::string(100'000, 'x'));
  EXPECT_EQ(n, 4095u + Tty::kPendingSize);
  EXPECT_TRUE(failed_with(write_to(*master_, "x"), EAGAIN));
  EXPECT_FALSE(master_->poll() & POLLOUT);
  auto waiter = make_ref<CountingWaiter>();
  master_->queue().add(waiter, POLLOUT);
  size_t total = 0;
  while (auto part = read_from(*s)) total += part->size();
  EXPECT_EQ(total, *n);
  EXPECT_TRUE(waiter->take(POLLOUT));
}

TEST_F(PtyTest, PeerByIoctl) {
  EXPECT_EQ(caller_.ioctl_value(*master_, TIOCGPTPEER, O_RDWR | O_NOCTTY), 77);
  write_to(*caller_.added, "peer");
  EXPECT_EQ(read_from(*master_), "peer");
  EXPECT_EQ(caller_.added->path().dentry->name(), "0");
}

TEST_F(PtyTest, SmallIoctls) {
  auto s = slave(O_RDWR);
  int n = -1;
  write_to(*master_, "abc\nde");
  EXPECT_TRUE(caller_.ioctl(*s, FIONREAD, n));
  EXPECT_EQ(n, 4);
  EXPECT_TRUE(caller_.ioctl(*s, TIOCGETD, n));
  EXPECT_EQ(n, 0);
  n = 99;
  EXPECT_TRUE(failed_with(caller_.ioctl(*s, TIOCSETD, n), EINVAL));
  EXPECT_TRUE(failed_with(caller_.ioctl(*s, TIOCGPTN, n), ENOTTY));
  EXPECT_TRUE(failed_with(caller_.ioctl(*s, 0x5499, n), ENOTTY));
  EXPECT_TRUE(failed_with(caller_.ioctl_value(*s, TCFLSH, 9), EINVAL));
  EXPECT_TRUE(failed_with(caller_.ioctl_value(*s, TCXONC, 9), EINVAL));
  EXPECT_TRUE(failed_with(caller_.ioctl_value(*master_, TIOCSIG, SIGTERM), EINVAL));
  EXPECT_TRUE(caller_.ioctl_value(*master_, TIOCSIG, SIGINT));
  EXPECT_EQ(jobs_.sent, (Signals{{10, SIGINT}}));
  EXPECT_TRUE(caller_.ioctl(*s, TIOCGDEV, n));
  EXPECT_EQ(n, 0x8800);
}

TEST_F(PtyTest, InputCanBeFaked) {
  auto s = slave(O_RDWR);
  char c = '\n';
  EXPECT_TRUE(caller_.ioctl(*s, TIOCSTI, c));
  EXPECT_EQ(read_from(*s), "\n");
  FakeCaller stranger;
  stranger.who = user_creds(1000);
  EXPECT_TRUE(failed_with(stranger.ioctl(*s, TIOCSTI, c), EPERM));
}

TEST_F(PtyTest, ExclusiveUse) {
  auto s = slave();
  EXPECT_TRUE(caller_.ioctl_value(*s, TIOCEXCL));
  EXPECT_TRUE(open("0"));  // Root may.
  caller_.who = user_creds(1000);
  EXPECT_TRUE(failed_with(open("0"), EBUSY));
  EXPECT_TRUE(caller_.ioctl_value(*s, TIOCNXCL));
  EXPECT_TRUE(open("0"));
}

TEST_F(PtyTest, VhangupKillsOpenFilesOnly) {
  auto s = slave();
  caller_.who = user_creds(1000);
  EXPECT_TRUE(failed_with(caller_.ioctl_value(*s, TIOCVHANGUP), EPERM));
  caller_.who = test_creds();
  EXPECT_TRUE(caller_.ioctl_value(*s, TIOCVHANGUP));
  EXPECT_EQ(read_from(*s), "");
  auto again = slave();
  EXPECT_EQ(write_to(*again, "x"), 1u);
}

TEST_F(PtyTest, MemoryIsGivenBack) {
  const size_t before = kernel_memory().used();
  auto second = *open("ptmx");
  EXPECT_GT(kernel_memory().used(), before);
  second.reset();
  mount_->root()->prune();
  EXPECT_EQ(kernel_memory().used(), before);
}

TEST(DevPtsOptionsTest, Parse) {
  FakeTimers timers;
  auto ns = UserNamespace::make_initial();
  auto o = DevPtsOptions::parse("newinstance,gid=5,mode=620,ptmxmode=666,max=2", *ns);
  ASSERT_TRUE(o);
  EXPECT_EQ(o->gid, 5u);
  EXPECT_EQ(o->mode, 0620u);
  EXPECT_EQ(make_devpts(*o)->fs->options(), ",gid=5,mode=620,ptmxmode=666,max=2");
  EXPECT_TRUE(failed_with(DevPtsOptions::parse("mode=x", *ns), EINVAL));
  EXPECT_TRUE(failed_with(DevPtsOptions::parse("huh=1", *ns), EINVAL));
}

TEST_F(PtyTest, IsSavedWithItsLines) {
  auto s = slave();
  make_raw(*s, 1, 0);
  change(*s, [](Termios& t) { t.lflag |= ICANON | ECHO; });
  ASSERT_TRUE(write_to(*master_, "whole\nhalf a li"));
  ASSERT_TRUE(write_to(*s, "output"));
  const winsize size{.ws_row = 50, .ws_col = 132};
  ASSERT_TRUE(caller_.ioctl(*s, TIOCSWINSZ, size));
  auto p = make_ref<SavedProcess>();
  p->files = {master_, s};
  auto copy = save_and_load_files(p);
  ASSERT_TRUE(copy);
  File &master = *copy->files[0], &program = *copy->files[1];
  ASSERT_TRUE(write_to(master, "ne\n"));
  EXPECT_EQ(*read_from(program), "whole\n");
  EXPECT_EQ(*read_from(program), "half a line\n");
  EXPECT_TRUE(read_from(master)->ends_with("outputne\r\n"));
  winsize found{};
  ASSERT_TRUE(caller_.ioctl(program, TIOCGWINSZ, found));
  EXPECT_EQ(found.ws_col, 132);
  // One file less has it open than before.
  copy->files.pop_back();
  EXPECT_TRUE(failed_with(read_from(master), EIO));
  EXPECT_TRUE(write_to(*master_, "x"));
}

}  // namespace
}  // namespace usk
