#include "net/inet/port_table.h"

#include <gtest/gtest.h>

#include "base/fake_timers.h"
#include "net/inet/network.h"

namespace usk {
namespace {

struct Ports : testing::Test {
  PortTable::Wish at(IpAddress address, uint16_t port) const {
    return {.local = {address, port}, .v6_only = false, .reuse = false, .share = false, .uid = 0};
  }
  FakeTimers timers;
  Ref<InetNetwork> network = make_ref<InetNetwork>(UserNamespace::make_initial(), /*up=*/true);
  const IpAddress any4 = IpAddress::any(false), any6 = IpAddress::any(true),
                  local4 = IpAddress::loopback(false), local6 = IpAddress::loopback(true);
};

struct Receiver final : RefCounted {};

TEST_F(Ports, WildcardsMeetEveryAddressOfTheirFamilies) {
  struct {
    IpAddress one;
    bool one_only;
    IpAddress two;
    bool conflict;
  } const table[] = {
      {any4, false, local4, true},  {local4, false, any4, true},   {local4, false, local4, true},
      {any6, false, local4, true},  {any6, true, local4, false},   {any6, false, any4, true},
      {any6, true, any4, false},    {any6, true, local6, true},    {local6, false, local4, false},
      {local6, false, any4, false}, {local4, false, local6, false}};
  for (const auto& row : table) {
    auto wish = at(row.one, 80);
    wish.v6_only = row.one_only;
    auto one = network->tcp.bind(wish);
    ASSERT_TRUE(one);
    auto two = network->tcp.bind(at(row.two, 80));
    EXPECT_EQ(failed_with(two, EADDRINUSE), row.conflict);
  }
}

TEST_F(Ports, ReuseTakesBothAndNoListener) {
  auto wish = at(local4, 80);
  auto first = network->tcp.bind(wish);
  ASSERT_TRUE(first);
  wish.reuse = true;
  EXPECT_FALSE(network->tcp.bind(wish));
  network->tcp.set_reuse(**first, true, false);
  auto second = network->tcp.bind(wish);
  ASSERT_TRUE(second);
  auto receiver = make_ref<Receiver>();
  ASSERT_TRUE(network->tcp.listen(**first, *receiver));
  EXPECT_TRUE(failed_with(network->tcp.listen(**second, *receiver), EADDRINUSE));
  EXPECT_FALSE(network->tcp.bind(wish));
  network->tcp.stop_listening(**first);
  EXPECT_TRUE(network->tcp.bind(wish));
}

TEST_F(Ports, SharingIsForOneUser) {
  auto wish = at(local4, 80);
  wish.share = true;
  wish.uid = 5;
  auto first = network->udp.bind(wish);
  ASSERT_TRUE(first);
  EXPECT_TRUE(network->udp.bind(wish));
  wish.uid = 6;
  EXPECT_FALSE(network->udp.bind(wish));
}

TEST_F(Ports, TheClosestReceiverIsFound) {
  auto wish = at(any4, 80);
  wish.reuse = true;
  auto any = network->udp.bind(wish), near = network->udp.bind((wish.local.address = local4, wish));
  ASSERT_TRUE(any && near);
  auto far_receiver = make_ref<Receiver>(), near_receiver = make_ref<Receiver>();
  network->udp.set_receiver(**any, far_receiver.get());
  network->udp.set_receiver(**near, near_receiver.get());
  const IpPort from{local4, 4000};
  EXPECT_EQ(network->udp.find({local4, 80}, from).get(), near_receiver.get());
  EXPECT_EQ(network->udp.find({IpAddress::v4(0x7f000002), 80}, from).get(), far_receiver.get());
  EXPECT_FALSE(network->udp.find({local6, 80}, from));
  EXPECT_FALSE(network->udp.find({local4, 81}, from));
  ASSERT_TRUE(network->udp.connect(**near, {local4, 0}, {local4, 9}, false));
  EXPECT_EQ(network->udp.find({local4, 80}, from).get(), far_receiver.get());
  network->udp.set_receiver(**any, nullptr);
  network->udp.set_receiver(**near, nullptr);
}

TEST_F(Ports, WhatWaitsIsForgotten) {
  auto b = network->tcp.bind(at(local4, 80));
  ASSERT_TRUE(b);
  network->tcp.wait(*std::move(b));
  EXPECT_FALSE(network->tcp.bind(at(local4, 80)));
  EXPECT_EQ(network->tcp.waiting().size(), 1u);
  timers.advance(61 * kNsPerSecond);
  EXPECT_TRUE(network->tcp.bind(at(local4, 80)));
  EXPECT_TRUE(network->tcp.waiting().empty());
}

TEST_F(Ports, ConnectionsRunOutOfPorts) {
  network->settings.low_port = 50000;
  network->settings.high_port = 50003;
  std::vector<Ref<Binding>> held;
  for (int i = 0; i < 4; ++i) {
    auto b = network->tcp.bind_to_connect(at(local4, 0), {local4, 80});
    ASSERT_TRUE(b);
    held.push_back(*std::move(b));
  }
  EXPECT_TRUE(
      failed_with(network->tcp.bind_to_connect(at(local4, 0), {local4, 80}), EADDRNOTAVAIL));
  // To another destination a port serves again.
  EXPECT_TRUE(network->tcp.bind_to_connect(at(local4, 0), {local4, 81}));
  EXPECT_TRUE(failed_with(network->tcp.bind(at(local4, 0)), EADDRINUSE));
}

}  // namespace
}  // namespace usk
