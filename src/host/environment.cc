#include "host/environment.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>

#include "host/open.h"

namespace usk::host {

const std::string& current_directory() {
  static const std::string path = [] {
    char buf[PATH_MAX];
    return std::string(getcwd(buf, sizeof buf) ? buf : "");
  }();
  return path;
}

std::vector<std::string> list_directory(const std::string& path) {
  auto dir = open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  return dir ? names_in(dir->get()) : std::vector<std::string>();
}

bool environment(const std::string& name, std::string& value) {
  const char* v = getenv(name.c_str());
  if (v) value = v;
  return v != nullptr;
}

std::vector<std::string> environment_names() {
  std::vector<std::string> out;
  for (char** e = environ; e && *e; e++) {
    const char* eq = strchr(*e, '=');
    out.emplace_back(*e, eq ? size_t(eq - *e) : strlen(*e));
  }
  return out;
}

}  // namespace usk::host
