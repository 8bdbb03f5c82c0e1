// The run states of a task: everything that its progress consists of. docs/ARCHITECTURE.md shows
// the graph; edges.def lists it.
#pragma once
#include <concepts>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/fields.h"
#include "base/wait.h"

namespace usk {

class Task;
struct Step;

enum class StateId : uint8_t {
#define RUN_STATE(Name) k##Name,
#include "kernel/run/states.def"
#undef RUN_STATE
};

// Each state is a type of its own: what it does is its run().
#define RUN_STATE(Name)                              \
  struct Name {                                      \
    Step run(Task&);                                 \
    static constexpr StateId kId = StateId::k##Name; \
    static constexpr std::string_view kName = #Name; \
  };
#include "kernel/run/states.def"
#undef RUN_STATE

class RunState;
std::string_view state_name(RunState s);

// One of them. A number, since no state has members: what a task remembers is in its frame.
class RunState {
 public:
  template <class S>
    requires requires {
      { S::kId } -> std::convertible_to<StateId>;
    }
  constexpr RunState(S) : id_(S::kId) {}
  constexpr StateId id() const { return id_; }
  template <class S>
  constexpr bool is() const {
    return id_ == S::kId;
  }
  // By name: states come and go.
  template <class A>
  void fields(A& ar) {
    std::string name(state_name(*this));
    ar.all("name", name);
    if constexpr (A::kLoading) {
      if (!set_named(name)) ar.fail("no such run state");
    }
  }

 private:
  bool set_named(std::string_view name);
  StateId id_;
};

// The task waits for a wake-up in its new state.
struct Park {
  RunState next;
  Deadline until;
};
// Others come first.
struct Yield {
  RunState next;
};
// Guest code runs now; the next trap brings the task back in this state.
struct InGuest {
  RunState next = App{};
};
// The task is gone.
struct Finished {};

struct Step : std::variant<RunState, Park, Yield, InGuest, Finished> {
  Step(RunState s) : variant(std::move(s)) {}
  Step(Park p) : variant(std::move(p)) {}
  Step(Yield y) : variant(std::move(y)) {}
  Step(InGuest g) : variant(g) {}
  Step(Finished f) : variant(f) {}
  template <class S>
    requires(std::convertible_to<S, RunState> && !std::same_as<S, RunState>)
  Step(S s) : variant(RunState(std::move(s))) {}
};

// Whether the edge list knows this transition; `order` as in edges.def.
enum class StopOrder { k48, k35 };
bool is_edge(StopOrder order, std::string_view from, std::string_view to);

struct Edge {
  std::string_view order, from, to, when;
};
extern const std::span<const Edge> kEdges;

}  // namespace usk
