#include "host/environment.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>

namespace usk::host {

std::string current_directory() {
  char buf[PATH_MAX];
  return getcwd(buf, sizeof buf) ? buf : "";
}

std::vector<std::string> list_directory(const std::string& path) {
  std::vector<std::string> out;
  DIR* d = opendir(path.c_str());
  if (!d) return out;
  while (dirent* e = readdir(d)) {
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) out.emplace_back(e->d_name);
  }
  closedir(d);
  return out;
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
