#include <algorithm>

#include "kernel/run/edge_log.h"
#include "kernel/run/run_state.h"

namespace usk {
namespace {

constexpr Edge kList[] = {
#define EDGE(order, from, to, when) {order, from::kName, to::kName, when},
#include "kernel/run/edges.def"
#undef EDGE
};

}  // namespace

const std::span<const Edge> kEdges(kList);

std::string_view state_name(RunState s) {
  switch (s.id()) {
#define RUN_STATE(Name) \
  case StateId::k##Name: return Name::kName;
#include "kernel/run/states.def"
#undef RUN_STATE
  }
  return {};
}

bool RunState::set_named(std::string_view name) {
  static constexpr std::pair<std::string_view, StateId> kStates[] = {
#define RUN_STATE(Name) {Name::kName, StateId::k##Name},
#include "kernel/run/states.def"
#undef RUN_STATE
  };
  for (auto& [known, id] : kStates) {
    if (known == name) return id_ = id, true;
  }
  return false;
}

bool is_edge(StopOrder order, std::string_view from, std::string_view to) {
  const std::string_view name = order == StopOrder::k48 ? "4.8" : "3.5";
  return std::any_of(kEdges.begin(), kEdges.end(), [&](const Edge& e) {
    return e.from == from && e.to == to && (e.order == "both" || e.order == name);
  });
}

std::string EdgeLog::text() const {
  static constexpr std::string_view kNames[] = {
#define RUN_STATE(Name) Name::kName,
#include "kernel/run/states.def"
#undef RUN_STATE
  };
  std::string out;
  for (size_t i = 0; i < taken_.size(); i++) {
    if (!taken_[i]) continue;
    out += kNames[i / kStates];
    out += ' ';
    out += kNames[i % kStates];
    out += '\n';
  }
  return out;
}

}  // namespace usk
