#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>

#include "state/testing.h"

namespace usk {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// --- A graph: shared, circular, polymorphic.

struct Node : RefCounted {
  Ref<Node> next;
  Node* back = nullptr;
  int value = 0;
  USK_FIELDS(next, back, value)
};
USK_SAVED(Node, "test/node")

struct Leaf final : Node {
  std::string text;
  USK_FIELDS_OF(Node, text)
};
USK_SAVED(Leaf, "test/leaf")

TEST(State, KeepsSharingCirclesAndKinds) {
  auto first = make_ref<Node>();
  auto leaf = make_ref<Leaf>();
  first->next = leaf;
  first->value = -7;
  leaf->next = first;
  leaf->back = first.get();
  leaf->value = 9;
  leaf->text = std::string("a\0\xff", 3);
  auto copy = state::save_and_load(first);
  ASSERT_TRUE(copy);
  EXPECT_NE(copy.get(), first.get());
  EXPECT_EQ(copy->value, -7);
  auto copied_leaf = ref_cast<Leaf>(copy->next);
  ASSERT_TRUE(copied_leaf);
  EXPECT_EQ(copied_leaf->next, copy);
  EXPECT_EQ(copied_leaf->back, copy.get());
  EXPECT_EQ(copied_leaf->text, leaf->text);
  EXPECT_EQ(copied_leaf->value, 9);
  first->next.reset();
  copy->next.reset();
}

TEST(State, NamesFieldsOfBases) {
  Leaf leaf;
  EXPECT_THAT(state::field_names(leaf),
              testing::ElementsAre("Node.next", "Node.back", "Node.value", "text"));
}

// --- Values of all kinds.

enum class Colour : uint8_t { kRed, kGreen };
constexpr Colour saved_max(Colour) { return Colour::kGreen; }

struct Inner {
  int a_ = 0;
  std::optional<int64_t> b_;
  friend bool operator==(const Inner&, const Inner&) = default;
  USK_FIELDS(a_, b_)
};
struct Dot {
  static constexpr std::string_view kSavedName = "dot";
  int x = 0;
  USK_FIELDS(x)
};

struct Everything : RefCounted {
  bool yes = false;
  char letter = 0;
  uint8_t byte = 0;
  int64_t lowest = 0;
  uint64_t highest = 0;
  double real = 0;
  Colour colour = Colour::kRed;
  std::atomic<int> atomic{0};
  std::string text, raw;
  Inner inner;
  std::optional<Inner> none, some;
  std::vector<int> numbers;
  std::vector<bool> bits;
  std::vector<uint8_t> bytes;
  std::deque<Inner> inners;
  std::array<char, 16> name{};
  std::array<int, 3> three{};
  uint64_t plain[2] = {};
  std::map<std::string, Inner> by_name;
  std::multimap<int, int> multi;
  std::unordered_map<std::string, int> hashed;
  std::unordered_map<int, std::unique_ptr<Leaf>> owned;
  std::set<int> set;
  std::pair<int, std::string> pair;
  std::tuple<int, bool, Colour> tuple;
  std::variant<std::monostate, Dot, int> variant;
  cpu_set_t cpus{};
  siginfo_t info{};
  timespec time{};
  rlimit64 limit{};
  std::shared_ptr<Inner> shared, also_shared;
  std::weak_ptr<Inner> weak;
  SharedAny any;
  USK_FIELDS(yes, letter, byte, lowest, highest, real, colour, atomic, text, raw, inner, none, some,
             numbers, bits, bytes, inners, name, three, plain, by_name, multi, hashed, owned, set,
             pair, tuple, variant, cpus, info, time, limit, shared, also_shared, weak, any)
};
USK_SAVED(Everything, "test/everything")
USK_SAVED(Inner, "test/inner")

void fill_containers(Everything& e) {
  e.numbers = {1, -2, 3};
  e.bits = {true, false};
  e.bytes = {0, 255};
  e.inners = {Inner{1, 2}, Inner{3, {}}};
  e.name = {'u', 's', 'k'};
  e.three = {7, 8, 9};
  e.plain[1] = 11;
  e.by_name = {{"x", Inner{1, 1}}, {"y", Inner{2, 2}}};
  e.multi = {{1, 1}, {1, 2}};
  for (int i = 0; i < 100; i++) e.hashed[std::to_string(i)] = i;
  e.owned[4] = std::make_unique<Leaf>();
  e.owned[4]->text = "owned";
  e.set = {5, 3};
}

Ref<Everything> make_everything() {
  auto e = make_ref<Everything>();
  e->yes = true;
  e->letter = 'u';
  e->byte = 200;
  e->lowest = INT64_MIN;
  e->highest = UINT64_MAX;
  e->real = -0.125;
  e->colour = Colour::kGreen;
  e->atomic = -1;
  e->text = "printable";
  e->raw = std::string("\0\n\x80", 3);
  e->inner = {24, -25};
  e->some = Inner{256, {}};
  fill_containers(*e);
  e->pair = {1, "one"};
  e->tuple = {1, true, Colour::kGreen};
  e->variant = Dot{6};
  CPU_SET(77, &e->cpus);
  e->info.si_signo = 11;
  e->time = {1, 2};
  e->limit = {3, RLIM64_INFINITY};
  e->shared = e->also_shared = std::make_shared<Inner>(Inner{1, {}});
  e->weak = e->shared;
  e->any = SharedAny(std::make_shared<Inner>(Inner{99, {}}));
  return e;
}

// Objects in unique_ptr may not count themselves; Leaf does, so it is refused.
TEST(State, RefusesCountedObjectsOfOneOwner) {
  auto e = make_everything();
  auto image = state::save(e);
  ASSERT_TRUE(image) << image.error().message;
  auto copy = state::load<Everything>(*image);
  ASSERT_FALSE(copy);
  EXPECT_THAT(copy.error().message, HasSubstr("field owned: an object with two owners"));
}

TEST(State, KeepsEveryKindOfValue) {
  auto e = make_everything();
  e->owned.clear();
  auto copy = state::save_and_load(e);
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->lowest, INT64_MIN);
  EXPECT_EQ(copy->highest, UINT64_MAX);
  EXPECT_EQ(copy->real, -0.125);
  EXPECT_EQ(copy->raw, e->raw);
  EXPECT_EQ(copy->inner, e->inner);
  EXPECT_EQ(copy->none, std::nullopt);
  EXPECT_EQ(copy->some, e->some);
  EXPECT_EQ(copy->bits, e->bits);
  EXPECT_EQ(copy->inners, e->inners);
  EXPECT_EQ(copy->by_name, e->by_name);
  EXPECT_EQ(copy->multi, e->multi);
  EXPECT_EQ(copy->hashed, e->hashed);
  EXPECT_EQ(copy->tuple, e->tuple);
  EXPECT_EQ(std::get<Dot>(copy->variant).x, 6);
  EXPECT_TRUE(CPU_ISSET(77, &copy->cpus));
  EXPECT_EQ(copy->time.tv_nsec, 2);
  EXPECT_EQ(copy->shared, copy->also_shared);
  EXPECT_EQ(copy->weak.lock(), copy->shared);
  ASSERT_TRUE(copy->any.get<Inner>());
  EXPECT_EQ(copy->any.get<Inner>()->a_, 99);
  EXPECT_FALSE(copy->any.get<int>());
}

struct Outcomes : RefCounted {
  Result<int> value = 5, error = Err(EIDRM);
  std::optional<Result<void>> done, failed, none;
  USK_FIELDS(value, error, done, failed, none)
};
USK_SAVED(Outcomes, "test/outcomes")

TEST(State, KeepsOutcomes) {
  auto o = make_ref<Outcomes>();
  o->done = Result<void>();
  o->failed = Result<void>(Err(EINTR));
  auto copy = state::save_and_load(o);
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->value, 5);
  EXPECT_TRUE(failed_with(copy->error, EIDRM));
  EXPECT_TRUE(copy->done && *copy->done);
  EXPECT_TRUE(copy->failed && failed_with(*copy->failed, EINTR));
  EXPECT_FALSE(copy->none);
}

struct Fixed : RefCounted {
  const int number = 3;
  USK_FIELDS(number)
};
USK_SAVED(Fixed, "test/fixed")

TEST(State, RefusesConstMembersThatNobodySets) {
  auto image = state::save(make_ref<Fixed>());
  auto copy = state::load<Fixed>(*image);
  ASSERT_FALSE(copy);
  EXPECT_THAT(copy.error().message, HasSubstr("a const member that no make_saved() has set"));
}

// --- Sole owners and bases that do not count.

struct Shape {
  virtual ~Shape() = default;
  virtual int corners() const = 0;
};
struct Square final : Shape {
  int side = 0;
  int corners() const override { return 4 + side; }
  USK_FIELDS(side)
};
USK_SAVED(Square, "test/square", Shape)

struct Drawing : RefCounted {
  std::unique_ptr<Shape> shape;
  Shape* best = nullptr;
  USK_FIELDS(shape, best)
};
USK_SAVED(Drawing, "test/drawing")

TEST(State, KeepsSoleOwnersByTheirBase) {
  auto drawing = make_ref<Drawing>();
  auto square = std::make_unique<Square>();
  square->side = 3;
  drawing->best = square.get();
  drawing->shape = std::move(square);
  auto copy = state::save_and_load(drawing);
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->shape->corners(), 7);
  EXPECT_EQ(copy->best, copy->shape.get());
}

TEST(State, RefusesWhatBelongsToNobody) {
  auto drawing = make_ref<Drawing>();
  Square square;
  drawing->best = &square;
  auto image = state::save(drawing);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().message, "cannot save: test/square at object.best belongs to nobody");
}

struct Unknown final : Node {};

TEST(State, NamesTheClassThatCannotBeSaved) {
  auto first = make_ref<Node>();
  first->next = make_ref<Node>();
  first->next->next = make_ref<Unknown>();
  auto image = state::save(first);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().message, "cannot save: Unknown at object.next.next");
}

// --- Constructors.

struct Numbered final : RefCounted {
  Numbered(int number, Ref<Node> node) : number_(number), node_(std::move(node)) {}
  static OrFailure<Ref<Numbered>> make_saved(state::Fields& in) {
    const int number = TRY(in.value<int>("number"));
    return make_ref<Numbered>(number, TRY(in.ref<Node>("node")));
  }
  OrFailure<void> restored(state::Restored& r) {
    sum = number_ + node_->value + *TRY(r.get<int>());
    return {};
  }
  USK_FIELDS(number_, node_, later_)
  const int number_;
  const Ref<Node> node_;
  std::string later_;
  int sum = 0;
};
USK_SAVED(Numbered, "test/numbered")

TEST(State, MakesObjectsByTheirConstructors) {
  auto node = make_ref<Node>();
  node->value = 30;
  auto numbered = make_ref<Numbered>(12, node);
  numbered->later_ = "later";
  int service = 100;
  auto copy = state::save_and_load<Numbered>(numbered, {},
                                             [&](state::Loader& l) { l.services().add(&service); });
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->number_, 12);
  EXPECT_EQ(copy->later_, "later");
  EXPECT_EQ(copy->sum, 142);
  auto image = state::save(numbered);
  auto without = state::load<Numbered>(*image);
  ASSERT_FALSE(without);
  EXPECT_EQ(without.error().message, "object 0 (test/numbered): it needs int, which is not there");
}

struct Hen final : RefCounted {
  explicit Hen(Ref<Hen> egg) : egg_(std::move(egg)) {}
  static OrFailure<Ref<Hen>> make_saved(state::Fields& in) {
    return make_ref<Hen>(TRY(in.value<Ref<Hen>>("egg")));
  }
  USK_FIELDS(egg_)
  Ref<Hen> egg_;
};
USK_SAVED(Hen, "test/hen")

TEST(State, RefusesObjectsThatNeedThemselves) {
  auto hen = make_ref<Hen>(nullptr);
  hen->egg_ = make_ref<Hen>(hen);
  auto image = state::save(hen);
  ASSERT_TRUE(image);
  auto copy = state::load<Hen>(*image);
  ASSERT_FALSE(copy);
  EXPECT_EQ(copy.error().message,
            "object 1 (test/hen): object 0 would have to exist before itself");
  hen->egg_.reset();
}

TEST(State, BoundsTheDepthOfConstructors) {
  Ref<Hen> hen;
  for (int i = 0; i < 100'000; i++) hen = make_ref<Hen>(hen);
  auto image = state::save(hen);
  ASSERT_TRUE(image);
  EXPECT_FALSE(state::load<Hen>(*image));
  while (hen) hen = Ref<Hen>(hen->egg_);
}

// --- What exists once, and states of what exists already.

TEST(State, SavesSingletonsAsNames) {
  auto world = make_ref<Leaf>();
  auto other_world = make_ref<Leaf>();
  auto node = make_ref<Node>();
  node->next = world;
  node->back = world.get();
  auto image = state::save(node, [&](state::Writer& w) { w.singleton("world", world.get()); });
  ASSERT_TRUE(image);
  auto copy =
      state::load<Node>(*image, [&](state::Loader& l) { l.singleton("world", other_world.get()); });
  ASSERT_TRUE(copy) << copy.error().message;
  EXPECT_EQ((*copy)->next, other_world);
  EXPECT_EQ((*copy)->back, other_world.get());
  auto nowhere = state::load<Node>(*image);
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().message, "object 0 (test/node) field next: there is no world here");
}

struct Clock {
  int64_t offset = 0;
  Ref<Node> node;
  USK_FIELDS(offset, node)
};

TEST(State, RootsAreValuesOfAnyKind) {
  auto node = make_ref<Node>();
  node->value = 3;
  state::Writer w("build 1");
  w.root("clock", Clock{5, node});
  w.root("count", 17);
  w.root("node", node);
  auto image = w.finish();
  ASSERT_TRUE(image);
  state::Loader l;
  ASSERT_TRUE(l.load(*image));
  EXPECT_EQ(l.build(), "build 1");
  Clock clock;
  int count = 0;
  ASSERT_TRUE(l.root("clock", clock));
  ASSERT_TRUE(l.root("count", count));
  auto loaded = l.root<Node>("node");
  ASSERT_TRUE(loaded);
  ASSERT_TRUE(l.finish());
  EXPECT_EQ(clock.offset, 5);
  EXPECT_EQ(clock.node, *loaded);
  EXPECT_EQ(count, 17);
}

// --- Other versions.

struct OldThing final : RefCounted {
  int gone = 1;
  int kept = 2;
  Inner inner{3, 4};
  USK_FIELDS(gone, kept, inner)
};
USK_SAVED(OldThing, "test/thing-1")
struct NewThing final : RefCounted {
  int added = 10;
  Inner inner;
  int64_t kept = 20;
  USK_FIELDS(added, inner, kept)
};
USK_SAVED(NewThing, "test/thing-2")

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, text.npos);
  return at == text.npos ? text : text.replace(at, from.size(), to);
}

TEST(State, GoesByTheNamesOfFields) {
  auto image = state::save(make_ref<OldThing>());
  auto copy = state::load<NewThing>(replaced(*image, "thing-1", "thing-2"));
  ASSERT_TRUE(copy) << copy.error().message;
  EXPECT_EQ((*copy)->added, 10);
  EXPECT_EQ((*copy)->kept, 2);
  EXPECT_EQ((*copy)->inner, (Inner{3, 4}));
}

TEST(State, RefusesClassesThatItDoesNotKnow) {
  auto image = state::save(make_ref<OldThing>());
  auto copy = state::load<OldThing>(replaced(*image, "thing-1", "thing-9"));
  ASSERT_FALSE(copy);
  EXPECT_EQ(copy.error().message, "object 0: class test/thing-9 is not known to this build");
}

TEST(State, RefusesOtherKindsOfObjects) {
  auto image = state::save(make_ref<OldThing>());
  auto copy = state::load<Node>(*image);
  ASSERT_FALSE(copy);
  EXPECT_EQ(copy.error().message,
            "root object: an object of class test/thing-1 where Node is wanted");
}

TEST(State, NamesTheFieldThatIsWrong) {
  auto e = make_ref<Everything>();
  e->name = {'h', 'e', 'l', 'l', 'o'};
  auto image = state::save(e);
  const size_t at = image->find("\x50hello");
  ASSERT_NE(at, std::string::npos);
  std::string shorter = *image;
  shorter[at] = '\x4f';
  shorter.erase(at + 16, 1);
  auto copy = state::load<Everything>(shorter);
  ASSERT_FALSE(copy);
  EXPECT_EQ(copy.error().message,
            "object 0 (test/everything) field name: a string of another length is wanted");
}

// --- Bad input.

void try_load(std::string_view image) {
  state::Loader loader;
  loader.free_after_failure();
  if (!loader.load(image)) return;
  if (!loader.root<Everything>("object")) return;
  (void)loader.finish();
}

TEST(State, RefusesEveryTruncation) {
  auto e = make_everything();
  e->owned.clear();
  e->hashed.clear();
  auto image = state::save(e);
  ASSERT_TRUE(image);
  for (size_t size = 0; size < image->size(); size++) {
    state::Loader loader;
    loader.free_after_failure();
    EXPECT_FALSE(loader.load(std::string_view(*image).substr(0, size))) << size;
  }
}

TEST(State, SurvivesFlippedBits) {
  auto e = make_everything();
  e->owned.clear();
  e->hashed.clear();
  std::string image = *state::save(e);
  for (size_t bit = 0; bit < image.size() * 8; bit++) {
    image[bit / 8] = char(image[bit / 8] ^ 1 << bit % 8);
    try_load(image);
    image[bit / 8] = char(image[bit / 8] ^ 1 << bit % 8);
  }
}

TEST(State, ChecksLengthsBeforeItAllocates) {
  std::string image = *state::save(make_ref<Drawing>());
  // The last two items are the fields of the one object; its pointers become enormous arrays.
  image.resize(image.size() - 2);
  image += "\x9b\xff\xff\xff\xff\xff\xff\xff\xff\xf6";
  auto copy = state::load<Drawing>(image);
  ASSERT_FALSE(copy);
  EXPECT_THAT(copy.error().message, StartsWith("object 0: a length beyond its end"));
}

// --- Speed.

TEST(State, SavesAndLoadsQuickly) {
  auto first = make_ref<Leaf>();
  Node* last = first.get();
  for (int i = 1; i < 20'000; i++) {
    auto leaf = make_ref<Leaf>();
    leaf->back = last;
    leaf->value = i;
    leaf->text = "a name of some length";
    last->next = leaf;
    last = leaf.get();
  }
  const auto start = std::chrono::steady_clock::now();
  auto image = state::save(Ref<Node>(first));
  const auto saved = std::chrono::steady_clock::now();
  ASSERT_TRUE(image);
  auto copy = state::load<Node>(*image);
  const auto loaded = std::chrono::steady_clock::now();
  ASSERT_TRUE(copy);
  auto us = [](auto d) { return std::chrono::duration_cast<std::chrono::microseconds>(d).count(); };
  printf("20000 objects, %zu bytes: saved in %ld us, loaded in %ld us\n", image->size(),
         long(us(saved - start)), long(us(loaded - saved)));
  for (Ref<Node> n = first; n; n = std::exchange(n->next, nullptr)) n->back = nullptr;
  for (Ref<Node> n = *copy; n; n = std::exchange(n->next, nullptr)) n->back = nullptr;
}

}  // namespace
}  // namespace usk
