#include "control/message.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "control/client.h"

namespace usk {
namespace {

struct Pair {
  explicit Pair(size_t max = 1000) {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    a = std::make_unique<MessageStream>(UniqueFd(fds[0]), max);
    b = std::make_unique<MessageStream>(UniqueFd(fds[1]), max);
  }
  void send_raw(std::string_view text, uint32_t length) {
    EXPECT_EQ(send(a->fd(), &length, sizeof length, 0), ssize_t(sizeof length));
    EXPECT_EQ(send(a->fd(), text.data(), text.size(), 0), ssize_t(text.size()));
  }
  std::unique_ptr<MessageStream> a, b;
};

TEST(MessageStream, CarriesMessagesAndDescriptors) {
  Pair p;
  p.a->put({{"op", "first"}}, {0, 1, 2});
  p.a->put({{"op", "second"}});
  ASSERT_TRUE(p.a->write_out());
  EXPECT_FALSE(p.a->has_output());
  ASSERT_TRUE(p.b->read_in());
  EXPECT_EQ(text_of(**p.b->next(), "op"), "first");
  EXPECT_EQ(p.b->take_fds().size(), 3u);
  while (p.b->read_in()) {
  }
  EXPECT_EQ(text_of(**p.b->next(), "op"), "second");
  EXPECT_FALSE(*p.b->next());
}

TEST(MessageStream, PartOfAMessageWaits) {
  Pair p;
  p.send_raw("{\"op\"", 12);
  ASSERT_TRUE(p.b->read_in());
  EXPECT_FALSE(*p.b->next());
  EXPECT_TRUE(failed_with(p.b->read_in(), EAGAIN));
}

TEST(MessageStream, RefusesWhatIsTooLongOrNoObject) {
  Pair p(10);
  p.send_raw("", 11);
  ASSERT_TRUE(p.b->read_in());
  EXPECT_TRUE(failed_with(p.b->next(), EMSGSIZE));
  Pair q;
  q.send_raw("[1]", 3);
  ASSERT_TRUE(q.b->read_in());
  while (q.b->read_in()) {
  }
  EXPECT_TRUE(failed_with(q.b->next(), EBADMSG));
}

TEST(MessageStream, SaysWhenThePeerHasClosed) {
  Pair p;
  p.a->close();
  EXPECT_TRUE(failed_with(p.b->read_in(), EPIPE));
}

TEST(Message, MembersOfTheWrongTypeAreTheirDefaults) {
  const Json j = {{"text", 1}, {"number", "1"}, {"list", {"a", 2, "b"}}};
  EXPECT_EQ(text_of(j, "text", "none"), "none");
  EXPECT_EQ(number_of(j, "number", 7), 7);
  EXPECT_EQ(number_of(j, "missing", 8), 8);
  EXPECT_EQ(texts_of(j, "list"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(texts_of(j, "text").empty());
}

TEST(Message, AnyBytesCanBeWrittenAndDeepNestingIsNotKept) {
  EXPECT_TRUE(parse_object(to_text({{"text", "\xff\xfe"}})));
  EXPECT_FALSE(parse_object("{\"a\":" + std::string(100000, '[')));
  EXPECT_FALSE(parse_object(""));
}

TEST(Printable, LeavesNothingForATerminalToObey) {
  EXPECT_EQ(printable("a\x1b[1m\x7f\r\n"), "a?[1m???");
  EXPECT_EQ(printable("\xc2\x9b"
                      "1m \xc3\xa4"),
            "?1m \xc3\xa4");
}

TEST(Registry, NamesAreChecked) {
  EXPECT_TRUE(is_valid_name("web-1.a_B"));
  for (const char* name : {"", "-a", ".", "a/b", "a b", "\xc3\xa4"}) {
    EXPECT_FALSE(is_valid_name(name)) << name;
  }
  EXPECT_FALSE(is_valid_name(std::string(64, 'a')));
}

}  // namespace
}  // namespace usk
