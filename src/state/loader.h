// Makes a saved graph of objects again.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "state/cbor.h"
#include "state/registry.h"
#include "state/services.h"
#include "state/values.h"

namespace usk::state {

class Loader;

// What make_saved() of a class sees of the object that it is to make: its fields, by name. Objects
// that they point to are made at once; a circle of such is an error.
class Fields {
 public:
  // A value as the member of that name would hold it.
  template <class T>
  OrFailure<T> value(std::string_view name);
  // A pointer that is not null.
  template <class T>
  OrFailure<Ref<T>> ref(std::string_view name);
  bool has(std::string_view name) const;
  Services& services();

 private:
  friend class Loader;
  Fields(Loader& loader, uint32_t object) : loader_(loader), object_(object) {}
  const char* find(std::string_view name) const;
  Loader& loader_;
  uint32_t object_;
};

// For restored() of a class: all members of all objects have their values.
class Restored {
 public:
  explicit Restored(Services& services) : services_(services) {}
  template <class T>
  OrFailure<T*> get() const {
    return services_.get<T>();
  }
  template <class T>
  T* find() const {
    return services_.find<T>();
  }

 private:
  Services& services_;
};

// Loads what a Writer wrote, or anything else that somebody made of it: nothing in the input is
// taken on trust. In this order: singleton() and services(), load(), root() for what is wanted,
// finish(). Failures say which object and which field.
class Loader {
 public:
  static constexpr bool kLoading = true;
  static constexpr size_t kMaxDepth = 200;  // Of make_saved() within make_saved().
  static constexpr uint64_t kMaxObjects = 16 << 20;

  Loader();
  // Objects that nothing else holds go. After a failure all stay for ever instead: their
  // destructors count on members that may not have been read; free_after_failure() says otherwise.
  ~Loader();
  Loader(const Loader&) = delete;
  void free_after_failure() { free_after_failure_ = true; }

  // Stands for what was saved under this name. `Bases`: as what else members may want it, if it
  // is no RefCounted.
  template <class T, class... Bases>
  void singleton(std::string_view name, T* object) {
    add_singleton(name, object);
    (add_singleton<Bases>(name, object), ...);
  }
  Services& services() { return services_; }

  // `image` must live as long as the loader.
  OrFailure<void> load(std::string_view image);
  bool has_root(std::string_view name) const { return roots_.contains(std::string(name)); }
  // Reads a root into `value`.
  template <class T>
  OrFailure<void> root(std::string_view name, T& value);
  template <class T>
  OrFailure<Ref<T>> root(std::string_view name) {
    Ref<T> ref;
    TRY(root(name, ref));
    if (!ref) return usk::fail(error_ = "root " + std::string(name) + ": nothing");
    return ref;
  }
  OrFailure<void> finish();

  const std::string& build() const { return build_; }
  size_t object_count() const { return objects_.size(); }
  bool failed() const { return !error_.empty(); }
  // For fields() that are written by hand: the value just read is not possible.
  void fail(std::string_view why);

  // --- What fields() calls.
  template <class... T>
  void all(const char*, T&&... values) {
    (field(std::forward<T>(values)), ...);
  }
  template <class Base>
  void base(const char*, Base& object) {
    object.Base::fields(*this);
  }

  // --- What USK_SAVED calls.
  template <class T>
  void get_struct(T& object);

 private:
  friend class Fields;
  static constexpr uint32_t kNoObject = UINT32_MAX;
  struct ClassOfImage {
    std::string name;
    FieldNames fields;
    const SavedClass* saved_class = nullptr;  // Null: only an inline struct's.
  };
  struct Object {
    const char* at;  // Where its fields' array begins.
    uint32_t class_number;
    enum Stage : uint8_t { kNew, kMaking, kMade } stage = kNew;
    bool shared = false, taken = false;  // By a shared_ptr; by a unique_ptr.
    bool owned = false, borrowed = false;
    Made made;
    std::shared_ptr<void> holder;  // If shared.
  };
  struct Singleton {
    const std::type_info* type;
    void* address;
    RefCounted* counted;
  };
  // Where a type's members stand in the fields of a class of the image.
  struct FieldMap {
    uint32_t class_number;
    bool same;              // One by one.
    std::vector<int> from;  // Else: member -> field, or -1.
    const FieldNames* names;
  };
  // The struct that is being read.
  struct Frame {
    const FieldMap* map;
    const std::vector<const char*>* fields;  // Null: one by one.
    size_t member = 0;
    Frame* outer = nullptr;
    bool constructed = false;  // By make_saved(), which gives const members their values.
  };

  template <class T>
  void field(T&& value);
  template <class T>
  void get(T& value);
  template <class T>
  void get_number(T& value);
  template <class T>
  void get_pointer(T& value);
  template <class T>
  void get_container(T& value);
  template <class T>
  void get_map(T& value);
  template <class T>
  void get_variant(T& value);
  template <class T>
  void get_expected(T& value);
  template <class T>
  T* get_target(Object*& object);
  template <class T>
  void get_unique(T& value);

  template <class T, class U>
  void add_singleton(std::string_view name, U* object) {
    Singleton s{&typeid(T), static_cast<T*>(object), nullptr};
    if constexpr (std::is_base_of_v<RefCounted, T>) s.counted = object;
    singletons_[std::string(name)].push_back(s);
  }
  template <class T>
  void add_singleton(std::string_view name, T* object) {
    add_singleton<T, T>(name, object);
  }
  template <class T>
  static T* cast(const Made& made, const SavedClass& saved_class);
  template <class T>
  T* singleton_as(std::string_view name);

  using FieldMaps = std::vector<std::unique_ptr<FieldMap>>;
  const FieldMap* map_for(FieldMaps& maps, uint32_t class_number, const FieldNames& names);
  bool begin_struct(uint32_t& class_number);
  bool index_fields(size_t count, std::vector<const char*>& fields);

  OrFailure<void> read_header();
  OrFailure<void> read_classes();
  OrFailure<void> read_roots();
  OrFailure<void> read_objects();
  OrFailure<void> malformed(const char* part);
  Object* object(uint64_t id);
  bool make(uint32_t id);
  void wrong_class(const SavedClass& found, const std::type_info& wanted);
  OrFailure<void> check_owners();
  // fail() with what the reader has to say.
  void reader_failed() { fail(reader_.error() ? reader_.error() : "it cannot be read"); }
  std::string where() const;

  CborReader reader_;
  const char* reader_end_ = nullptr;
  std::string error_;
  std::string build_;
  Services services_;
  std::vector<ClassOfImage> classes_;
  std::unordered_map<std::string, const char*> roots_;
  std::vector<Object> objects_;
  std::unordered_map<std::string, std::vector<Singleton>> singletons_;
  std::vector<FieldMaps> maps_;  // By type_number().
  Frame* frame_ = nullptr;
  uint32_t current_ = kNoObject;  // The object that is being read.
  std::string current_root_;
  size_t depth_ = 0;
  bool finished_ = false, free_after_failure_ = false;
};

}  // namespace usk::state

#include "state/loader_values.h"
