#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/mman.h>

#include <filesystem>
#include <fstream>

#include "base/fake_timers.h"
#include "fs/anon/epoll.h"
#include "fs/anon/eventfd.h"
#include "fs/anon/inotify.h"
#include "fs/anon/timerfd.h"
#include "fs/hostfs/hostfs.h"
#include "fs/overlay/overlay.h"
#include "fs/pipe/pipe_file.h"
#include "fs/tmpfs/shmem.h"
#include "fs/tmpfs/tmpfs.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/locks.h"
#include "fs/vfs/saving_testing.h"
#include "fs/vfs/special_open.h"
#include "fs/vfs/vfs_testing.h"

namespace usk::testing {

USK_SAVED(SavedProcess, "test/process")

namespace {

using ::testing::HasSubstr;

class SavedFilesTest : public ::testing::Test {
 protected:
  Ref<SavedProcess> process() const {
    auto p = make_ref<SavedProcess>();
    p->mounts = world_.ctx.mounts;
    p->root = world_.ctx.root;
    p->creds = world_.ctx.creds;
    p->fds = make_ref<FdTable>();
    return p;
  }
  static World seen_by(const SavedProcess& p) {
    World w(*make_tmpfs({}));
    w.ctx.mounts = p.mounts;
    w.ctx.root = w.ctx.cwd = p.root;
    return w;
  }
  Ref<File> open(const char* path, int flags = O_RDONLY) const {
    auto file = world_.open(path, flags);
    EXPECT_TRUE(file) << path;
    return file ? *file : nullptr;
  }
  FakeTimers timers_;
  World world_{*make_tmpfs({})};
};

std::string text_of(const World& w, const char* path) {
  auto file = w.open(path);
  return file ? *read_from(**file) : "not there";
}

TEST_F(SavedFilesTest, TreesInMemory) {
  ASSERT_TRUE(world_.mkdir("dir"));
  ASSERT_TRUE(world_.mkdir("dir/sub"));
  ASSERT_TRUE(write_to(*open("dir/small", O_CREAT | O_RDWR), "hello"));
  ASSERT_TRUE(write_to(*open("dir/large", O_CREAT | O_RDWR), std::string(200'000, 'x')));
  ASSERT_TRUE(world_.link("dir/small", "dir/other"));
  ASSERT_TRUE(world_.symlink("small", "dir/link"));
  auto copy = save_and_load_files(process());
  ASSERT_TRUE(copy);
  World w = seen_by(*copy);
  EXPECT_EQ(text_of(w, "dir/small"), "hello");
  EXPECT_EQ(text_of(w, "dir/link"), "hello");
  EXPECT_EQ(text_of(w, "dir/large"), text_of(world_, "dir/large"));
  ASSERT_TRUE(write_to(**w.open("dir/other", O_RDWR), "HE"));
  EXPECT_EQ(text_of(w, "dir/small"), "HEllo");
  EXPECT_EQ(text_of(world_, "dir/small"), "hello");
  EXPECT_EQ((*w.walk("dir")).inode().getattr()->nlink, 3u);
}

TEST_F(SavedFilesTest, DescriptorsAndPositions) {
  Ref<File> file = open("file", O_CREAT | O_RDWR);
  ASSERT_TRUE(write_to(*file, "hello"));
  ASSERT_TRUE(file->seek(2, SEEK_SET));
  ASSERT_TRUE(file->set_flags(O_APPEND));
  auto p = process();
  ASSERT_TRUE(p->fds->add(file, false, 100));
  ASSERT_TRUE(p->fds->add(file, true, 100, 5));
  auto copy = save_and_load_files(p);
  ASSERT_TRUE(copy);
  Ref<File> same = *copy->fds->get(5);
  EXPECT_EQ(same, *copy->fds->get(0));
  EXPECT_TRUE(copy->fds->get_slot(5)->cloexec);
  EXPECT_EQ(same->seek(0, SEEK_CUR), 2u);
  EXPECT_TRUE(same->flags() & O_APPEND);
  EXPECT_EQ(copy->fds->add(same, false, 100), 1);
  // It counts among those that write.
  EXPECT_TRUE(failed_with(same->inode().deny_write_access(), ETXTBSY));
  EXPECT_TRUE(
      failed_with(copy->mounts->remount(copy->root, MS_RDONLY | MS_REMOUNT | MS_BIND), EBUSY));
}

TEST_F(SavedFilesTest, DeletedFiles) {
  Ref<File> file = open("file", O_CREAT | O_RDWR);
  ASSERT_TRUE(write_to(*file, "still here"));
  ASSERT_TRUE(world_.unlink("file"));
  auto p = process();
  p->files = {file};
  auto copy = save_and_load_files(p);
  ASSERT_TRUE(copy);
  EXPECT_EQ(*read_from(*copy->files[0]), "still here");
  EXPECT_TRUE(copy->files[0]->path().dentry->deleted());
  EXPECT_EQ(copy->files[0]->inode().getattr()->nlink, 0u);
  EXPECT_TRUE(failed_with(seen_by(*copy).open("file"), ENOENT));
}

TEST_F(SavedFilesTest, Mounts) {
  ASSERT_TRUE(world_.mkdir("at"));
  auto mount = Mount::make(*make_tmpfs({}), MS_NOSUID, "below");
  ASSERT_TRUE(world_.ctx.mounts->attach(mount, *world_.walk("at")));
  ASSERT_TRUE(world_.ctx.mounts->set_propagation(*world_.walk("at"), MS_SHARED, false));
  ASSERT_TRUE(write_to(*open("at/file", O_CREAT | O_RDWR), "mounted"));
  auto copy = save_and_load_files(process());
  ASSERT_TRUE(copy);
  World w = seen_by(*copy);
  EXPECT_EQ(text_of(w, "at/file"), "mounted");
  EXPECT_EQ(copy->mounts->mountinfo_text(copy->root),
            world_.ctx.mounts->mountinfo_text(world_.ctx.root));
  ASSERT_TRUE(copy->mounts->umount(*w.walk("at"), MNT_DETACH));
  EXPECT_EQ(text_of(w, "at/file"), "not there");
}

TEST_F(SavedFilesTest, Locks) {
  Ref<File> file = open("file", O_CREAT | O_RDWR);
  FileLocks& locks = file->inode().locks();
  ASSERT_TRUE(locks.flock(file->id(), LOCK_EX, 7));
  ASSERT_TRUE(locks.set({{LockOwner::Kind::kPosix, 3, 7}, F_WRLCK, 0, 9}));
  auto p = process();
  p->files = {file};
  auto copy = save_and_load_files(p);
  ASSERT_TRUE(copy);
  FileLocks& same = copy->files[0]->inode().locks();
  EXPECT_TRUE(failed_with(same.flock(12345, LOCK_SH), EAGAIN));
  EXPECT_EQ(same.list().size(), 2u);
  copy->files.clear();
}

TEST_F(SavedFilesTest, MemoryFilesAndSeals) {
  auto file = make_shmem_file("/memfd:x (deleted)", 0600, test_creds());
  ASSERT_TRUE(file);
  auto& inode = static_cast<MemRegular&>((*file)->inode());
  inode.allow_sealing();
  ASSERT_TRUE(write_to(**file, "sealed"));
  ASSERT_TRUE((*file)->mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED));
  ASSERT_TRUE(inode.add_seals(F_SEAL_GROW));
  auto p = process();
  p->files = {*file};
  auto copy = save_and_load_files(p);
  ASSERT_TRUE(copy);
  auto& same = static_cast<MemRegular&>(copy->files[0]->inode());
  EXPECT_EQ(same.seals(), F_SEAL_GROW);
  EXPECT_EQ(*read_from(*copy->files[0]), "sealed");
  EXPECT_EQ(PathText::of(copy->files[0]->path(), copy->root).text, "/memfd:x (deleted)");
}

TEST_F(SavedFilesTest, Pipes) {
  auto [out, in] = make_pipe(O_NONBLOCK, test_creds());
  ASSERT_TRUE(write_to(*in, "some bytes"));
  auto p = process();
  p->files = {out, in};
  auto copy = save_and_load_files(p);
  ASSERT_TRUE(copy);
  EXPECT_EQ(*read_from(*copy->files[0], 4), "some");
  ASSERT_TRUE(write_to(*copy->files[1], "!"));
  copy->files.pop_back();
  EXPECT_EQ(*read_from(*copy->files[0]), " bytes!");
  EXPECT_EQ(*read_from(*copy->files[0]), "");
  EXPECT_EQ(*read_from(*out), "some bytes");
}

TEST_F(SavedFilesTest, Fifos) {
  register_fifo_opener(fifo_open);
  ASSERT_TRUE(vfs::mknod(world_.ctx, world_.ctx.cwd, "fifo", S_IFIFO | 0600, 0));
  Ref<File> both = open("fifo", O_RDWR);
  ASSERT_TRUE(write_to(*both, "x"));
  auto p = process();
  p->files = {both};
  auto copy = save_and_load_files(p);
  ASSERT_TRUE(copy);
  // Whoever opens it now meets the same pipe.
  auto other = seen_by(*copy).open("fifo", O_RDONLY | O_NONBLOCK);
  ASSERT_TRUE(other);
  EXPECT_EQ(*read_from(**other), "x");
}

TEST_F(SavedFilesTest, EventsAndTimers) {
  auto p = process();
  auto event = make_ref<EventFd>(5, true, 0, test_creds());
  auto timer = *TimerFd::make(CLOCK_MONOTONIC, 0, test_creds());
  ASSERT_TRUE(timer->settime(*test_creds(), 0, {{}, {2, 0}}));
  p->files = {event, timer};
  timers_.advance(kNsPerSecond / 2);
  auto copy = save_and_load_files(p);
  ASSERT_TRUE(copy);
  EXPECT_EQ(*read_object<uint64_t>(*copy->files[0]), 1u);
  EXPECT_EQ(copy->files[0]->fdinfo().substr(0, 20), "eventfd-count:      ");
  auto& same = static_cast<TimerFd&>(*copy->files[1]);
  EXPECT_EQ(same.gettime().it_value.tv_sec, 1);
  timers_.advance(2 * kNsPerSecond);
  EXPECT_EQ(*read_object<uint64_t>(same), 1u);
}

Result<epoll_event> next_event(EpollFile& set) {
  epoll_event e{};
  KernelOut out(std::as_writable_bytes(std::span(&e, 1)));
  if (TRY(set.wait(out, 1)) == 0) return Err(EAGAIN);
  return e;
}

TEST_F(SavedFilesTest, EpollSets) {
  auto [out, in] = make_pipe(O_NONBLOCK, test_creds());
  auto event = make_ref<EventFd>(1, false, 0, test_creds());
  auto set = make_ref<EpollFile>(test_creds());
  auto outer = make_ref<EpollFile>(test_creds());
  ASSERT_TRUE(set->control(EPOLL_CTL_ADD, out, 3, {EPOLLIN, {.u64 = 30}}));
  ASSERT_TRUE(set->control(EPOLL_CTL_ADD, event, 4, {EPOLLIN | EPOLLET, {.u64 = 40}}));
  ASSERT_TRUE(outer->control(EPOLL_CTL_ADD, set, 5, {EPOLLIN, {.u64 = 50}}));
  ASSERT_EQ(next_event(*set)->data.u64, 40u);
  auto p = process();
  p->files = {out, in, event, set, outer};
  auto copy = save_and_load_files(p);
  ASSERT_TRUE(copy);
  auto& same = static_cast<EpollFile&>(*copy->files[3]);
  auto& same_outer = static_cast<EpollFile&>(*copy->files[4]);
  EXPECT_TRUE(failed_with(next_event(same), EAGAIN));  // The edge was told.
  ASSERT_TRUE(write_to(*copy->files[1], "x"));
  EXPECT_EQ(next_event(same_outer)->data.u64, 50u);
  EXPECT_EQ(next_event(same)->data.u64, 30u);
  EXPECT_EQ(same.item_count(), 2u);
  copy->files[0].reset();
  EXPECT_EQ(same.item_count(), 1u);
}

TEST_F(SavedFilesTest, Inotify) {
  ASSERT_TRUE(world_.mkdir("dir"));
  auto file = make_ref<InotifyFile>(0, test_creds());
  ASSERT_EQ(file->add_watch(*world_.walk("dir"), IN_CREATE | IN_DELETE), 1);
  ASSERT_TRUE(world_.open("dir/one", O_CREAT));
  auto p = process();
  p->files = {file};
  auto copy = save_and_load_files(p);
  ASSERT_TRUE(copy);
  World w = seen_by(*copy);
  ASSERT_TRUE(w.unlink("dir/one"));
  const std::string events = *read_from(*copy->files[0]);
  EXPECT_EQ(events.size(), 64u);
  EXPECT_THAT(events, HasSubstr("one"));
  auto& same = static_cast<InotifyFile&>(*copy->files[0]);
  EXPECT_EQ(same.add_watch(*w.walk("dir"), IN_CREATE), 1);
}

// --- The host's files, and changes over them.

class SavedHostTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string dir = std::filesystem::temp_directory_path() / "saved-XXXXXX";
    ASSERT_TRUE(mkdtemp(dir.data()));
    dir_ = dir;
    std::filesystem::create_directory(dir_ / "sub");
    put("sub/file", "from the host");
    put("sub/other", "other");
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  void put(const char* name, const char* text) { std::ofstream(dir_ / name) << text; }
  FsTree hostfs(bool writable) {
    return *make_hostfs(*host::open_dir(dir_), {.writable = writable});
  }
  static Ref<SavedProcess> process(const World& w, std::vector<Ref<File>> files) {
    auto p = make_ref<SavedProcess>();
    p->mounts = w.ctx.mounts;
    p->root = w.ctx.root;
    p->creds = w.ctx.creds;
    p->files = std::move(files);
    return p;
  }
  std::filesystem::path dir_;
};

TEST_F(SavedHostTest, FilesAreOpenedAgain) {
  World w(hostfs(true));
  auto file = w.open("sub/file", O_RDWR);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->seek(5, SEEK_SET));
  auto copy = save_and_load_files(process(w, {*file}));
  ASSERT_TRUE(copy);
  EXPECT_EQ(*read_from(*copy->files[0]), "from the host");
  EXPECT_EQ(copy->files[0]->seek(0, SEEK_CUR), 5u);
  EXPECT_EQ(copy->files[0]->inode().ino(), (*file)->inode().ino());
  ASSERT_TRUE(write_to(*copy->files[0], "FROM"));
  EXPECT_EQ(*read_from(**file), "FROM the host");
}

TEST_F(SavedHostTest, ChangedFilesAreRefusedUnlessAllowed) {
  World w(hostfs(false));
  auto file = w.open("sub/file");
  ASSERT_TRUE(file);
  auto saved = SavedFiles::save(process(w, {*file}));
  ASSERT_TRUE(saved);
  put("sub/file", "something else");
  auto refused = saved->load<SavedProcess>();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message,
              HasSubstr((dir_ / "sub/file").string() + ": it has changed since"));
  HostChanges changes{.allow_changed = true};
  auto copy = saved->load<SavedProcess>([&](auto& l) { l.services().add(&changes); });
  ASSERT_TRUE(copy) << copy.error().message;
  EXPECT_EQ(*read_from(*(*copy)->files[0]), "something else");
}

TEST_F(SavedHostTest, FilesMayBeKnownByWhatIsInThem) {
  World w(hostfs(false));
  auto file = w.open("sub/file");
  ASSERT_TRUE(file);
  HostHashes hashes;
  auto saved = SavedFiles::save(process(w, {*file}), &hashes);
  ASSERT_TRUE(saved);
  put("sub/file", "from the host");  // Its time is another one.
  auto copy = saved->load<SavedProcess>();
  ASSERT_TRUE(copy) << copy.error().message;
  const auto time = std::filesystem::last_write_time(dir_ / "sub/file");
  put("sub/file", "from the hose");
  std::filesystem::last_write_time(dir_ / "sub/file", time);
  auto refused = saved->load<SavedProcess>();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("it has changed since"));
}

TEST_F(SavedHostTest, DirectoriesMayHaveMoved) {
  World w(hostfs(false));
  auto file = w.open("sub/file");
  ASSERT_TRUE(file);
  auto saved = SavedFiles::save(process(w, {*file}));
  ASSERT_TRUE(saved);
  const auto moved = dir_.string() + "-moved";
  std::filesystem::rename(dir_, moved);
  auto refused = saved->load<SavedProcess>();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr(dir_.string() + ": No such file or directory"));
  HostChanges changes{.moved = {{dir_.string(), moved}}};
  auto copy = saved->load<SavedProcess>([&](auto& l) { l.services().add(&changes); });
  dir_ = moved;
  ASSERT_TRUE(copy) << copy.error().message;
  EXPECT_EQ(*read_from(*(*copy)->files[0]), "from the host");
}

TEST_F(SavedHostTest, DeletedFilesKeepTheirContents) {
  World w(hostfs(true));
  auto file = w.open("sub/file", O_RDWR);
  ASSERT_TRUE(file);
  ASSERT_TRUE(w.unlink("sub/file"));
  auto saved = SavedFiles::save(process(w, {*file}));
  ASSERT_TRUE(saved);
  auto loaded = saved->load<SavedProcess>();
  ASSERT_TRUE(loaded) << loaded.error().message;
  File& copy = *(*loaded)->files[0];
  EXPECT_EQ(*read_from(copy), "from the host");
  EXPECT_TRUE(copy.path().dentry->deleted());
  EXPECT_EQ(copy.inode().getattr()->mode, (*file)->inode().getattr()->mode);
  ASSERT_TRUE(write_to(copy, "FROM"));
  EXPECT_EQ(*read_from(copy), "FROM the host");
}

TEST_F(SavedHostTest, OverlaysKeepChanges) {
  World w(*make_overlay({hostfs(false)}, {.hidden = {"sub/other"}}));
  ASSERT_TRUE(write_to(**w.open("sub/file", O_RDWR), "FROM"));
  ASSERT_TRUE(w.mkdir("new"));
  put("third", "third");
  ASSERT_TRUE(w.unlink("third"));
  auto reader = w.open("sub/file");
  auto copy = save_and_load_files(process(w, {*reader}));
  ASSERT_TRUE(copy);
  World same(*make_tmpfs({}));
  same.ctx.mounts = copy->mounts;
  same.ctx.root = same.ctx.cwd = copy->root;
  EXPECT_EQ(text_of(same, "sub/file"), "FROM the host");
  EXPECT_EQ(text_of(same, "sub/other"), "not there");
  EXPECT_EQ(text_of(same, "third"), "not there");
  EXPECT_TRUE(same.walk("new"));
  std::vector<std::string> changes;
  const auto diff = *overlay_diff(copy->root.inode().fs());
  for (const auto& c : diff) {
    changes.push_back(char(c.kind) + c.path);
  }
  EXPECT_THAT(changes, ::testing::ElementsAre("A/new", "C/sub/file", "D/third"));
}

}  // namespace
}  // namespace usk::testing
