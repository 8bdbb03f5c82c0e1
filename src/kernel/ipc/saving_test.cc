#include <gtest/gtest.h>

#include "base/fake_timers.h"
#include "fs/vfs/file_testing.h"
#include "fs/vfs/saving_testing.h"
#include "kernel/ipc/ipc_namespace.h"

namespace usk {
namespace {

using namespace testing;

// A queue, and who waits for its messages.
struct Waiting final : RefCounted {
  Ref<MsgQueue> queue;
  std::vector<Ref<MsgReceiver>> receivers;
  USK_FIELDS(queue, receivers)
};
USK_SAVED(Waiting, "test/ipc-waiting")

TEST(SavedIpc, QueuesKeepMessagesAndTheirLine) {
  auto w = make_ref<Waiting>();
  w->queue = make_ref<MsgQueue>();
  Message message = *Message::make(3, 5);
  message.text = "hello";
  w->queue->messages.push_back(std::move(message));
  w->queue->bytes = 5;
  for (int i = 0; i < 3; i++) {
    w->receivers.push_back(make_ref<MsgReceiver>(MsgWish::make(7 + i, 10, 0), PidStamp()));
  }
  for (int i : {2, 0}) {
    w->receivers[size_t(i)]->queue = w->queue;
    w->queue->receivers.push_back(w->receivers[size_t(i)].get());
  }
  w->receivers[1]->outcome = Result<Message>(Err(EIDRM));
  auto copy = save_and_load_files(w);
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->queue->messages.front().text, "hello");
  EXPECT_EQ(copy->queue->messages.front().type, 3);
  EXPECT_EQ(copy->queue->receivers.front(), copy->receivers[2].get());
  EXPECT_EQ(copy->queue->receivers.back(), copy->receivers[0].get());
  ASSERT_TRUE(copy->receivers[1]->outcome);
  EXPECT_TRUE(failed_with(*copy->receivers[1]->outcome, EIDRM));
}

TEST(SavedIpc, NamespacesKeepTheirLimits) {
  auto ns = make_ipc_namespace(test_creds()->user_ns, 1 << 30);
  MsgLimits limits;
  limits.max = 77;
  ns->msg.set_limits(limits);
  auto copy = save_and_load_files(ns);
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->msg.limits().max, 77);
  EXPECT_EQ(copy->id(), ns->id());
  EXPECT_EQ(copy->owner()->id(), ns->owner()->id());
}

}  // namespace
}  // namespace usk
