// Epoll sets within epoll sets: no rings, and no wake-up that multiplies without bound.
#include <algorithm>
#include <unordered_map>

#include "fs/anon/epoll_node.h"

namespace usk {
namespace {

// Linux: EP_MAX_NESTS, the links of a chain of sets.
constexpr int kMaxLinks = 4;
// Linux counts ways up by their length (at most 500 of two links, 10 of five); we, all together.
constexpr size_t kMaxWaysUp = 500;

Mutex<Rank::kLeaf> nesting_mutex;

}  // namespace

// A walk over the graph of sets under the nesting lock, remembering what it has seen. Depths are
// bounded by kMaxLinks because every link was checked.
class EpollNesting {
 public:
  // Links of the longest chain below `node`; kMaxLinks + 1 if `avoid` is on one.
  int depth_below(EpollNode& node, const EpollNode& avoid) {
    if (&node == &avoid) return kMaxLinks + 1;
    auto [it, fresh] = below_.try_emplace(&node, 0);
    if (!fresh) return it->second;
    int depth = 0;
    for (EpollNode* child : node.children_) {
      depth = std::max(depth, 1 + depth_below(*child, avoid));
    }
    return below_[&node] = std::min(depth, kMaxLinks + 1);
  }
  int depth_above(EpollNode& node) {
    auto [it, fresh] = above_.try_emplace(&node, 0);
    if (!fresh) return it->second;
    int depth = 0;
    for (EpollNode* parent : node.parents_) depth = std::max(depth, 1 + depth_above(*parent));
    return above_[&node] = depth;
  }
  // How many ways a wake-up of `node` goes up.
  size_t ways_up(EpollNode& node) {
    auto [it, fresh] = ways_.try_emplace(&node, 0);
    if (!fresh) return it->second;
    size_t ways = 0;
    for (EpollNode* parent : node.parents_) ways += 1 + ways_up(*parent);
    return ways_[&node] = ways;
  }
  // Whether no set at or below `node` has more than kMaxWaysUp.
  bool ways_up_are_few(EpollNode& node) {
    if (!checked_.try_emplace(&node, true).second) return true;
    return ways_up(node) <= kMaxWaysUp &&
           std::ranges::all_of(node.children_, [&](EpollNode* c) { return ways_up_are_few(*c); });
  }
  static void add(EpollNode& parent, EpollNode& child) {
    parent.children_.push_back(&child);
    child.parents_.push_back(&parent);
  }
  static void remove(EpollNode& parent, EpollNode& child) {
    drop_one(parent.children_, &child);
    drop_one(child.parents_, &parent);
  }

 private:
  static void drop_one(std::vector<EpollNode*>& from, EpollNode* node) {
    auto it = std::ranges::find(from, node);
    CHECK(it != from.end());
    *it = from.back();
    from.pop_back();
  }
  std::unordered_map<EpollNode*, int> below_, above_;
  std::unordered_map<EpollNode*, size_t> ways_;
  std::unordered_map<EpollNode*, bool> checked_;
};

Result<void> EpollNode::link(EpollNode& parent, EpollNode& child) {
  Lock lock(nesting_mutex);
  EpollNesting before;
  const int below = before.depth_below(child, parent);
  if (below + 1 + before.depth_above(parent) > kMaxLinks) return Err(ELOOP);
  EpollNesting::add(parent, child);
  if (!EpollNesting().ways_up_are_few(child)) {
    EpollNesting::remove(parent, child);
    return Err(EINVAL);
  }
  return {};
}

void EpollNode::unlink(EpollNode& parent, EpollNode& child) {
  Lock lock(nesting_mutex);
  EpollNesting::remove(parent, child);
}

}  // namespace usk
