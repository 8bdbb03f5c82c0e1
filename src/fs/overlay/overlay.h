// Copy-on-write over trees that do not change: what a guest does to them stays in memory.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "base/number_table.h"
#include "fs/mem/mem_inode.h"
#include "fs/vfs/mount.h"

namespace usk {

class OverlayDir;

struct OverlayOptions {
  uint64_t size_bytes = 0;  // Of changes; 0: half of the host's memory.
  uint64_t max_inodes = 0;  // Changed or made; 0: one for each page of half the memory.
  // Paths relative to the root that are to be absent ("root/.ssh"); the guest may make its own.
  std::vector<std::string> hidden;
};

// What the guest changed: `usk diff`.
struct OverlayChange {
  enum class Kind : char { kAdded = 'A', kChanged = 'C', kDeleted = 'D' };
  Kind kind;
  std::string path;  // From the root, with a leading slash.
  Ref<Inode> inode;  // Null when deleted.
};

// Each file of a layer below is stood for by one inode, whose number is made of the lower one's
// and stays the same when it is changed. A changed inode is pinned: it is kept until its last
// name goes, since what it says can be had nowhere else.
class OverlayFs final : public MemFs {
 public:
  explicit OverlayFs(Ref<MemQuota> quota);
  explicit OverlayFs(Blank b) : MemFs(b) {}
  ~OverlayFs() override;

  static bool is_lower_ino(Ino ino) { return !(ino & kFirstNew); }
  static Ino ino_of(size_t layer, Ino lower) { return lower ^ Ino(layer) * kLayerBit; }

  // A file of a layer below: the first that has the name, and for a directory those below it
  // that are merged with it.
  struct Found {
    size_t layer;
    Ref<Inode> inode;
    USK_FIELDS(layer, inode)
  };
  Result<Ref<MemInode>> node_for(std::vector<Found> found, Ino parent, std::string_view name)
      EXCLUDES(mu_);

  Result<FsStat> statfs() override;
  Result<Ref<MemInode>> make_node(NodeInit init) override;
  Result<void> before_change(MemInode& inode) override EXCLUDES(mu_);
  void placed(MemInode& inode, MemDir& parent, std::string_view name) override EXCLUDES(mu_);
  void links_gone(MemInode& inode) override EXCLUDES(mu_);
  void forget(MemInode& inode) override EXCLUDES(mu_);

  // All changes, parents before children.
  std::vector<OverlayChange> diff() EXCLUDES(mu_);

  void set_root(OverlayDir* root) { root_ = root; }
  void drop_pins() EXCLUDES(mu_);
  // What was changed so far belongs to the beginning: diff() does not count it.
  void settle() EXCLUDES(mu_);

  // An inode that is saved brings its place in known_ with it; others need none.
  std::optional<Standing> standing(MemInode& inode) override EXCLUDES(mu_);
  bool restore_standing(MemInode& inode, Standing standing) override EXCLUDES(mu_);

  template <class A>
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {
    ar.template base<MemFs>("MemFs", *this);
    if constexpr (SavesState<A>) list_pins();
    ar.all("pins_, root_, settled_ino_", pins_, root_, settled_ino_);
    if constexpr (SavesState<A>) pins_.clear();
  }
  OrFailure<void> restored(state::Restored& r) EXCLUDES(mu_);

 private:
  // Numbers of new inodes have this bit; lower ones of layer 1 and on have some between.
  static constexpr Ino kFirstNew = Ino(1) << 62;
  static constexpr Ino kLayerBit = Ino(1) << 56;
  // An inode that stands for a lower one, and where it was last seen.
  struct Known {
    MemInode* inode = nullptr;  // Alive: it takes itself out (forget()).
    Ref<MemInode> pin;
    Ino parent = 0;
    std::string name;
    bool changed = false;  // Itself; not only something below it.
  };
  Known& add_known(Known known) REQUIRES(mu_);
  void list_pins() EXCLUDES(mu_);
  Result<Ref<MemInode>> make_standin(Ino ino, const std::vector<Found>& found);
  struct DirToDiff {
    Ref<OverlayDir> dir;
    std::string path;  // With a trailing slash.
  };
  void diff_dir(const DirToDiff& at, const std::unordered_multimap<Ino, Known>& pinned,
                std::vector<OverlayChange>& out, std::vector<DirToDiff>& pending) const;

  Mutex<Rank::kLeaf> mu_;
  NumberTable<Known> known_ GUARDED_BY(mu_);  // By number; each is ours.
  std::vector<Ref<MemInode>> pins_;           // Of known_, while it is saved or loaded.
  OverlayDir* root_ = nullptr;
  Ino settled_ino_ = 0;  // New inodes up to this one were there in the beginning.
};

// `lowers`, topmost first, must not change while this exists.
Result<FsTree> make_overlay(std::vector<FsTree> lowers, const OverlayOptions& options,
                            Ref<MemQuota> above = {});
// The changes in an overlay made by make_overlay(); EINVAL for another file system.
Result<std::vector<OverlayChange>> overlay_diff(FileSystem& fs);

}  // namespace usk
