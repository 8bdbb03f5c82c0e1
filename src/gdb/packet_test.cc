#include "gdb/packet.h"

#include <gtest/gtest.h>

#include "gdb/registers.h"

namespace usk::gdb {
namespace {

using Kind = PacketReader::Event::Kind;

TEST(GdbPacket, ComesInPieces) {
  PacketReader r;
  r.feed("+$qC");
  EXPECT_FALSE(r.next());
  r.feed("#b");
  EXPECT_FALSE(r.next());
  r.feed("4\x03");
  auto e = r.next();
  ASSERT_TRUE(e && e->kind == Kind::kPacket);
  EXPECT_EQ(e->data, "qC");
  e = r.next();
  ASSERT_TRUE(e && e->kind == Kind::kInterrupt);
  EXPECT_FALSE(r.next());
}

TEST(GdbPacket, DamageIsTold) {
  PacketReader r;
  r.feed("$qC#b5-$#zz");
  EXPECT_EQ(r.next()->kind, Kind::kDamaged);
  EXPECT_EQ(r.next()->kind, Kind::kRefused);
  EXPECT_EQ(r.next()->kind, Kind::kDamaged);
  EXPECT_FALSE(r.next());
}

TEST(GdbPacket, WithoutAnEndIsOverrun) {
  PacketReader r;
  r.feed("$" + std::string(kMaxPacket, 'a'));
  EXPECT_FALSE(r.next());
  EXPECT_FALSE(r.is_overrun());
  r.feed("aaaaaaaa");
  EXPECT_FALSE(r.next());
  EXPECT_TRUE(r.is_overrun());
}

TEST(GdbPacket, EscapesAndUnescapes) {
  const std::string data = "a#b$c}d*e";
  size_t taken;
  const std::string safe = escape(data, 100, taken);
  EXPECT_EQ(taken, data.size());
  EXPECT_EQ(safe.find('#'), safe.npos);
  PacketReader r;
  r.feed(make_packet(safe));
  EXPECT_EQ(r.next()->data, data);
  EXPECT_EQ(escape("##", 3, taken), "}\x03");  // The second does not fit.
  EXPECT_EQ(taken, 1u);
}

TEST(GdbPacket, Numbers) {
  std::string_view text = "1fG";
  EXPECT_EQ(take_number(text), 0x1fu);
  EXPECT_EQ(text, "G");
  EXPECT_FALSE(take_number(text));
  EXPECT_EQ(from_hex("0aFf"), "\x0a\xff");
  EXPECT_FALSE(from_hex("0"));
  EXPECT_FALSE(from_hex("0g"));
}

TEST(GdbRegisters, KeepWhatWasSet) {
  RegisterValues v;
  v.extended.resize(2696);
  const uint16_t initial = 0x37f;
  EXPECT_EQ(register_bytes(v, 32).substr(0, 2),  // fctrl, in its initial state
            std::string(reinterpret_cast<const char*>(&initial), 2));
  for (size_t i = 0; i < register_count(); i++) {
    std::string value(register_size(i), '\0');
    value[0] = char(i + 1);
    if (i == 34) continue;  // ftag
    ASSERT_TRUE(set_register_bytes(v, i, value)) << i;
    EXPECT_EQ(register_bytes(v, i), value) << i;
  }
  const std::string tags("\xfc\xff\0\0", 4);  // All empty but one.
  ASSERT_TRUE(set_register_bytes(v, 34, tags));
  EXPECT_EQ(register_bytes(v, 34), tags);
}

TEST(GdbRegisters, SignalsHaveNumbersBothWays) {
  for (int s = 1; s <= 64; s++) {
    const int there = gdb_signal(s);
    if (s == 16) continue;  // SIGSTKFLT: gdb does not know it.
    EXPECT_GT(there, 0) << s;
    EXPECT_EQ(host_signal(there), s);
  }
  EXPECT_EQ(host_signal(200), 0);
}

}  // namespace
}  // namespace usk::gdb
