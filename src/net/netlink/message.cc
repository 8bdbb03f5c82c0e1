#include "net/netlink/message.h"

#include <cerrno>

namespace usk::netlink {

Result<Request::Attributes> Request::attributes(size_t head_size) const {
  Attributes found;
  std::string_view rest = body.substr(std::min(aligned(head_size), body.size()));
  while (rest.size() >= sizeof(nlattr)) {
    nlattr a;
    memcpy(&a, rest.data(), sizeof a);
    if (a.nla_len < sizeof a || a.nla_len > rest.size()) return Err(EINVAL);
    found[a.nla_type & NLA_TYPE_MASK] = rest.substr(sizeof a, a.nla_len - sizeof a);
    rest = rest.substr(std::min(aligned(a.nla_len), rest.size()));
  }
  return found;
}

void Replies::begin(uint16_t type, std::string_view head) {
  finish();
  nlmsghdr h{};
  h.nlmsg_type = type;
  h.nlmsg_flags = is_dump() ? NLM_F_MULTI : 0;
  h.nlmsg_seq = request_.nlmsg_seq;
  h.nlmsg_pid = port_;
  message_ = bytes_of(h);
  message_ += head;
  message_.resize(aligned(message_.size()));
}

void Replies::attribute(uint16_t type, std::string_view value) {
  const nlattr a{uint16_t(sizeof(nlattr) + value.size()), type};
  message_ += bytes_of(a);
  message_ += value;
  message_.resize(aligned(message_.size()));
}

void Replies::finish() {
  if (message_.empty()) return;
  const uint32_t size = uint32_t(message_.size());
  memcpy(message_.data() + offsetof(nlmsghdr, nlmsg_len), &size, sizeof size);
  const bool joins =
      is_dump() && !datagrams_.empty() && datagrams_.back().size() + message_.size() <= kDatagram;
  if (joins) {
    datagrams_.back() += message_;
  } else {
    datagrams_.push_back(std::move(message_));
  }
  message_.clear();
}

void Replies::done() {
  finish();
  nlmsghdr h{};
  h.nlmsg_len = NLMSG_LENGTH(sizeof(int));
  h.nlmsg_type = NLMSG_DONE;
  h.nlmsg_flags = NLM_F_MULTI;
  h.nlmsg_seq = request_.nlmsg_seq;
  h.nlmsg_pid = port_;
  datagrams_.push_back(bytes_of(h) + bytes_of(int(0)));
}

void Replies::error(int error, std::string_view body, bool whole, std::string_view why) {
  finish();
  nlmsghdr h{};
  h.nlmsg_type = NLMSG_ERROR;
  h.nlmsg_flags = whole && error ? 0 : NLM_F_CAPPED;
  h.nlmsg_seq = request_.nlmsg_seq;
  h.nlmsg_pid = port_;
  nlmsghdr asked = request_;
  std::string message = bytes_of(int(-error)) + bytes_of(asked);
  if (whole && error) message += body;
  if (!why.empty()) {
    h.nlmsg_flags |= NLM_F_ACK_TLVS;
    message.resize(aligned(message.size()));
    const nlattr a{uint16_t(sizeof(nlattr) + why.size() + 1), NLMSGERR_ATTR_MSG};
    message += bytes_of(a);
    message += why;
    message += '\0';
  }
  h.nlmsg_len = uint32_t(sizeof h + message.size());
  message = bytes_of(h) + message;
  message.resize(aligned(message.size()));
  datagrams_.push_back(std::move(message));
}

std::vector<std::string> Replies::take() {
  finish();
  return std::move(datagrams_);
}

}  // namespace usk::netlink
