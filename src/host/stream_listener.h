// Listening where other programs connect to: ip(7), unix(7).
#pragma once
#include <string>

#include "base/failure.h"
#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// A listening socket, for as long as it exists; a path of the file system goes with it.
class StreamListener {
 public:
  // At `name` (empty: this host alone, 127.0.0.1) and `port`, decimal; 0: any, see address().
  static OrFailure<StreamListener> tcp(const std::string& name, const std::string& port);
  // A UNIX socket, for its owner only; empty: in a fresh directory of its own.
  static OrFailure<StreamListener> local(const std::string& path);
  StreamListener(StreamListener&& o) noexcept;
  ~StreamListener();

  int fd() const { return fd_.get(); }
  const std::string& address() const { return address_; }
  Result<UniqueFd> accept();

 private:
  StreamListener() = default;
  UniqueFd fd_;
  std::string address_, path_, directory_;
};

}  // namespace usk::host
