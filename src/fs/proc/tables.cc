// Entries and tables by their names, as saved files refer to them.
#include <map>

#include "fs/proc/entry.h"

namespace usk::proc {
namespace {

struct Tables {
  std::map<std::string, std::span<const Entry>, std::less<>> by_name;
  std::map<const Entry*, std::string> names;  // Of tables, by their first entry.
};

std::vector<std::pair<std::string_view, std::span<const Entry>>>& named() {
  static auto& all = *new std::vector<std::pair<std::string_view, std::span<const Entry>>>;
  return all;
}

// What stands in several tables goes by the first name that leads to it.
void add(Tables& to, const std::string& name, std::span<const Entry> table) {
  if (table.empty()) return;
  to.by_name.emplace(name, table);
  if (!to.names.emplace(table.data(), name).second) return;
  for (const Entry& e : table) add(to, name + "/" + std::string(e.name), e.children);
}

const Tables& tables() {
  static const Tables& all = *[] {
    auto* made = new Tables;
    std::ranges::sort(named(), {}, [](const auto& t) { return t.first; });
    for (const auto& [name, table] : named()) add(*made, std::string(name), table);
    return made;
  }();
  return all;
}

}  // namespace

NamedTable::NamedTable(std::string_view name, std::span<const Entry> table) {
  named().emplace_back(name, table);
}

std::string TableRef::name() const {
  if (table_.empty()) return "";
  const auto it = tables().names.find(table_.data());
  return it == tables().names.end() ? "?" : it->second;
}

bool TableRef::find(std::string_view name) {
  table_ = {};
  if (name.empty()) return true;
  const auto it = tables().by_name.find(name);
  if (it != tables().by_name.end()) table_ = it->second;
  return !table_.empty();
}

std::string EntryRef::name() const {
  if (!entry_) return "";
  for (const auto& [first, name] : tables().names) {
    const std::span<const Entry> table = tables().by_name.find(name)->second;
    if (entry_ >= first && entry_ < first + table.size()) {
      return name + "/" + std::string(entry_->name);
    }
  }
  return "?";
}

bool EntryRef::find(std::string_view name) {
  entry_ = nullptr;
  const size_t slash = name.rfind('/');
  TableRef table;
  if (slash == name.npos || !table.find(name.substr(0, slash))) return false;
  entry_ = find_entry(table.entries(), name.substr(slash + 1));
  return entry_;
}

}  // namespace usk::proc
