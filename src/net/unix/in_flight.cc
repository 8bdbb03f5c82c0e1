#include "net/unix/in_flight.h"

#include <algorithm>
#include <unordered_map>

#include "net/unix/endpoint.h"
#include "net/unix/unix_socket.h"

namespace usk {
namespace {

struct Registry {
  Mutex<Rank::kLeaf> mu;
  size_t reserved GUARDED_BY(mu) = 0;
  std::unordered_map<UnixSocket*, int> sockets GUARDED_BY(mu);  // How often each is queued.
  size_t ends GUARDED_BY(mu) = 0;  // Sockets that went since the last collection.
};

Registry& registry() {
  static Registry r;
  return r;
}

std::atomic_flag collecting = ATOMIC_FLAG_INIT;

UnixSocket* as_socket(const Ref<File>& file) { return dynamic_cast<UnixSocket*>(file.get()); }

// A socket in flight, as the collector sees it.
struct Node {
  Ref<UnixSocket> socket;
  int queued = 0;    // How often, in all queues.
  int internal = 0;  // ... in queues of candidates.
  std::vector<Ref<File>> files;
  bool live = false;
};
using Graph = std::unordered_map<UnixSocket*, Node>;

// The sockets that only queues hold.
Graph candidates() {
  Graph graph;
  Registry& r = registry();
  Lock lock(r.mu);
  for (auto& [socket, queued] : r.sockets) {
    if (socket->ref_count() != queued || !socket->try_ref()) continue;
    graph[socket] = {.socket = Ref<UnixSocket>::adopt(socket), .queued = queued};
  }
  return graph;
}

void mark(Graph& graph, Node& root) {
  std::vector<Node*> todo{&root};
  root.live = true;
  while (!todo.empty()) {
    Node* node = todo.back();
    todo.pop_back();
    for (auto& file : node->files) {
      auto it = graph.find(as_socket(file));
      if (it == graph.end() || it->second.live) continue;
      it->second.live = true;
      todo.push_back(&it->second);
    }
  }
}

void collect_once() {
  Graph graph = candidates();
  for (auto& [socket, node] : graph) node.files = socket->endpoint().queued_files();
  for (auto& [socket, node] : graph) {
    for (auto& file : node.files) {
      if (auto it = graph.find(as_socket(file)); it != graph.end()) ++it->second.internal;
    }
  }
  // One that also waits in the queue of somebody who may receive is live, and what it leads to.
  for (auto& [socket, node] : graph) {
    if (!node.live && node.queued > node.internal) mark(graph, node);
  }
  std::vector<Ref<File>> held;
  for (auto& [socket, node] : graph) {
    if (!node.live) socket->endpoint().drop_queue();
    std::ranges::move(node.files, std::back_inserter(held));
    held.push_back(std::move(node.socket));
  }
  release_files(std::move(held));
}

}  // namespace

namespace in_flight {

Result<void> reserve(size_t n) {
  if (n == 0) return {};
  Registry& r = registry();
  Lock lock(r.mu);
  if (n > kMaxFiles - r.reserved) return Err(ETOOMANYREFS);
  r.reserved += n;
  return {};
}

void unreserve(size_t n) {
  if (n == 0) return;
  Registry& r = registry();
  Lock lock(r.mu);
  r.reserved -= n;
}

void queued(const std::vector<Ref<File>>& files) {
  if (files.empty()) return;
  Registry& r = registry();
  Lock lock(r.mu);
  for (auto& file : files) {
    if (UnixSocket* socket = as_socket(file)) ++r.sockets[socket];
  }
}

void taken(const std::vector<Ref<File>>& files) {
  if (files.empty()) return;
  Registry& r = registry();
  Lock lock(r.mu);
  r.reserved -= files.size();
  for (auto& file : files) {
    UnixSocket* socket = as_socket(file);
    if (!socket) continue;
    auto it = r.sockets.find(socket);
    CHECK(it != r.sockets.end());
    if (--it->second == 0) r.sockets.erase(it);
  }
}

size_t count() {
  Registry& r = registry();
  Lock lock(r.mu);
  return r.reserved;
}

void collect_garbage() {
  {
    Registry& r = registry();
    Lock lock(r.mu);
    // A collection looks at every socket in flight: many of them pay for one together.
    if (r.sockets.empty() || ++r.ends <= r.sockets.size() / 16) return;
    r.ends = 0;
  }
  if (collecting.test_and_set()) return;
  collect_once();
  collecting.clear();
}

}  // namespace in_flight

void release_files(std::vector<Ref<File>> files) {
  if (files.empty()) return;
  thread_local std::vector<Ref<File>>* draining = nullptr;
  if (draining) {
    std::ranges::move(files, std::back_inserter(*draining));
    return;
  }
  draining = &files;
  while (!files.empty()) {
    Ref<File> file = std::move(files.back());
    files.pop_back();
    file.reset();  // Its end may add to the list.
  }
  draining = nullptr;
}

}  // namespace usk
