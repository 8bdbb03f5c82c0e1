// Tries what cannot be undone.
#pragma once
#include <functional>
#include <string>

namespace usk::host {

// What `f` says in a child process, or how that ended instead of saying something. The process must
// have one thread.
std::string try_in_child(const std::function<std::string()>& f);

}  // namespace usk::host
