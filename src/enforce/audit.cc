#include "enforce/audit.h"

#include <fmt/format.h>
#include <string.h>

#include "base/log.h"
#include "enforce/checksum.h"
#include "host/file_io.h"

namespace usk {
namespace {

constexpr std::string_view kHashField = ",\"hash\":\"";
constexpr size_t kHashDigits = 64;

// The line without its hash, and the hash; false where it has none.
bool split(std::string_view line, std::string& rest, std::string& hash) {
  const size_t tail = kHashField.size() + kHashDigits + 2;  // With the quote and the brace.
  if (line.size() <= tail || !line.ends_with("\"}")) return false;
  const size_t at = line.size() - tail;
  if (line.substr(at, kHashField.size()) != kHashField) return false;
  rest = std::string(line.substr(0, at)) + "}";
  hash = line.substr(at + kHashField.size(), kHashDigits);
  return true;
}

Result<void> write_all(int fd, std::string_view text) {
  auto bytes = std::as_bytes(std::span(text));
  while (!bytes.empty()) bytes = bytes.subspan(TRY(host::write(fd, bytes)));
  return {};
}

std::string dump(const nlohmann::ordered_json& entry) {
  return entry.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

OrFailure<std::unique_ptr<AuditLog>> AuditLog::make(const std::string& file,
                                                    nlohmann::ordered_json start) {
  TRY(sha256(""));  // So that a missing library is a failure now.
  auto fd = host::create_file(file);
  if (!fd) return fail(fmt::format("--audit {}: {}", file, strerror(int(fd.error()))));
  std::unique_ptr<AuditLog> log(new AuditLog);
  {
    Lock lock(log->mu_);
    log->fd_ = std::move(*fd);
  }
  log->add(std::move(start));
  return log;
}

AuditLog::~AuditLog() { end(); }

void AuditLog::write_locked(nlohmann::ordered_json entry) {
  entry["prev"] = last_hash_;
  std::string line = dump(entry);
  const auto hash = sha256(line);
  Result<void> ok = hash ? Result<void>() : Err(EIO);
  if (hash) {
    line.pop_back();
    line += fmt::format("{}{}\"}}\n", kHashField, *hash);
    ok = write_all(fd_.get(), line);
    last_hash_ = *hash;
  }
  if (!ok && !failed_) {
    LOG_ERROR("the audit log cannot be written: {}", strerror(int(ok.error())));
    failed_ = true;
  }
  entries_++;
  bytes_ += line.size();
}

void AuditLog::add(nlohmann::ordered_json entry) {
  Lock lock(mu_);
  if (ended_) return;
  if (bytes_ > kMaxBytes) {
    write_locked({{"event", "full"}, {"entries", entries_ + 1}});
    ended_ = true;
    return;
  }
  write_locked(std::move(entry));
}

void AuditLog::end() {
  Lock lock(mu_);
  if (ended_) return;
  write_locked({{"event", "end"}, {"entries", entries_ + 1}});
  ended_ = true;
}

OrFailure<std::string> AuditLog::verify(const std::string& file) {
  auto fd = host::open_readonly(file);
  if (!fd) return fail(fmt::format("{}: {}", file, strerror(int(fd.error()))), 1);
  std::string previous(kHashDigits, '0'), pending, rest, hash, last;
  uint64_t n = 0;
  std::vector<std::byte> piece(1 << 16);
  while (true) {
    auto got = host::read(fd->get(), piece);
    if (!got) return fail(fmt::format("{}: {}", file, strerror(int(got.error()))), 1);
    if (*got == 0) break;
    pending.append(reinterpret_cast<const char*>(piece.data()), *got);
    size_t begin = 0;
    for (size_t end; (end = pending.find('\n', begin)) != pending.npos; begin = end + 1) {
      const auto bad = [&](std::string_view why) {
        return fail(fmt::format("{}:{}: {}", file, n, why), 1);
      };
      n++;
      last = pending.substr(begin, end - begin);
      if (!split(last, rest, hash)) return bad("the entry has no hash");
      if (TRY(sha256(rest)) != hash) return bad("the entry was changed");
      const auto entry = nlohmann::json::parse(rest, nullptr, false);
      if (!entry.is_object() || entry.value("prev", "") != previous) {
        return bad("an entry before this one is missing or was put elsewhere");
      }
      previous = hash;
    }
    pending.erase(0, begin);
  }
  if (!pending.empty()) return fail(fmt::format("{}:{}: the line is cut off", file, n + 1), 1);
  if (n == 0) return fail(fmt::format("{}: the log is empty", file), 1);
  const auto entry = nlohmann::json::parse(last, nullptr, false);
  const bool whole = entry.value("event", "") == "end" || entry.value("event", "") == "full";
  if (!whole) {
    return fail(fmt::format("{}: {} entries are as they were written, but the log has no end: it "
                            "was cut off, or the sandbox still runs",
                            file, n),
                1);
  }
  return fmt::format("{}: {} entries, as they were written", file, n);
}

}  // namespace usk
