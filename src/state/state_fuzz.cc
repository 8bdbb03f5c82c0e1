// Any bytes as a saved state: no crash, no more memory than the input pays for.
#include <map>
#include <optional>
#include <variant>

#include "state/saved.h"

namespace usk {
namespace {

struct Part {
  int number = 0;
  std::optional<std::string> text;
  USK_FIELDS(number, text)
};

struct Thing : RefCounted {
  Ref<Thing> next;
  Thing* back = nullptr;
  std::map<std::string, Part> parts;
  std::vector<std::vector<int>> numbers;
  std::variant<std::monostate, int, Part> variant;
  std::array<char, 4> name{};
  std::shared_ptr<Part> shared;
  std::unique_ptr<Part> own;
  SharedAny any;
  USK_FIELDS(next, back, parts, numbers, variant, name, shared, own, any)
};
USK_SAVED(Thing, "t")
USK_SAVED(Part, "p")

struct Made final : Thing {
  explicit Made(int n) : number(n) {}
  static OrFailure<Ref<Made>> make_saved(state::Fields& in) {
    return make_ref<Made>(TRY(in.value<int>("n")));
  }
  const int number;
  USK_FIELDS_OF(Thing, number)
};
USK_SAVED(Made, "m")

}  // namespace
}  // namespace usk

// Objects that hold each other in a circle stay.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usk;
  state::Loader loader;
  loader.free_after_failure();
  if (loader.load({reinterpret_cast<const char*>(data), size})) {
    Ref<Thing> thing;
    (void)loader.root("r", thing);
    (void)loader.finish();
  }
  return 0;
}
