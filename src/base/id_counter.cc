#include "base/id_counter.h"

#include <algorithm>

namespace usk {

// Never destroyed: files may outlive statics. `raised` is written while there is one thread.
struct IdCounter::List {
  std::atomic<IdCounter*> last{nullptr};
  std::map<std::string, uint64_t> raised;
};

IdCounter::List& IdCounter::list() {
  static List& all = *new List;
  return all;
}

IdCounter::IdCounter(const char* name, uint64_t first) : name_(name), next_(first) {
  List& all = list();
  if (auto it = all.raised.find(name); it != all.raised.end()) next_ = std::max(first, it->second);
  before_ = all.last.load();
  while (!all.last.compare_exchange_weak(before_, this)) {
  }
}

std::map<std::string, uint64_t> IdCounter::all() {
  std::map<std::string, uint64_t> out = list().raised;
  for (const IdCounter* c = list().last; c; c = c->before_) out[c->name_] = c->next_;
  return out;
}

void IdCounter::raise_all(const std::map<std::string, uint64_t>& to) {
  auto& raised = list().raised;
  for (auto& [name, number] : to) raised[name] = std::max(raised[name], number);
  for (IdCounter* c = list().last; c; c = c->before_) {
    if (auto it = raised.find(c->name_); it != raised.end()) {
      c->next_ = std::max(c->next_.load(), it->second);
    }
  }
}

}  // namespace usk
