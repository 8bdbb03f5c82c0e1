// Saves a graph of objects.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "state/cbor.h"
#include "state/registry.h"
#include "state/services.h"
#include "state/values.h"

namespace usk::state {

constexpr uint64_t kFormatVersion = 1;
constexpr std::string_view kMagic = "usk state";

// Writes roots and all objects that can be reached from them; docs/checkpoint-format.md says how.
// Nothing that is saved may change meanwhile. The first failure counts; finish() gives it.
class Writer {
 public:
  static constexpr bool kLoading = false;

  explicit Writer(std::string_view build) : build_(build) {}

  // Pointers to `object` are saved as `name`: the restored kernel has one of its own.
  template <class T>
  void singleton(std::string_view name, const T* object) {
    add_singleton(name, address_of(object), type_of(object));
  }
  // Any value: a Ref, a struct with fields, a number. With all that it leads to, now.
  template <class T>
  void root(std::string_view name, const T& value) {
    begin_root(name);
    put(value);
    end_root();
  }
  // The whole state part.
  OrFailure<std::string> finish();

  Services& services() { return services_; }
  bool failed() const { return !error_.empty(); }
  // For fields() that are written by hand: what is being saved cannot be.
  void fail(std::string_view why);

  // --- What fields() calls.
  template <class... T>
  void all(const char*, T&&... values) {
    (field(values), ...);
  }
  template <class Base>
  void base(const char*, Base& object) {
    object.Base::fields(*this);
  }

  // --- What USK_SAVED calls.
  template <class T>
  void put_struct(const T& value) {
    T& object = const_cast<T&>(value);  // fields() serves loading, too.
    const uint32_t number = class_number<T>(object);
    out_.array(1 + field_names(object).size());
    out_.number(uint64_t(number));
    depth_++;
    if (depth_ == 1) field_ = 0;
    Access::fields(object, *this);
    depth_--;
  }

 private:
  static constexpr uint32_t kNoObject = UINT32_MAX;
  struct Object {
    const void* address;
    const SavedClass* saved_class;
    uint32_t reached_from, reached_by;  // The object and its field; kNoObject and the root.
    bool owned;
  };
  struct ClassOfImage {
    std::string name;
    const FieldNames* fields;
  };

  template <class T>
  static const void* address_of(const T* p) {
    if constexpr (std::is_polymorphic_v<T>) {
      return dynamic_cast<const void*>(p);
    } else {
      return p;
    }
  }
  template <class T>
  static const std::type_info& type_of(const T* p) {
    if constexpr (std::is_polymorphic_v<T>) {
      return typeid(*p);
    } else {
      return typeid(T);
    }
  }

  template <class T>
  void field(const T& value) {
    put(value);
    if (depth_ == 1) field_++;
  }
  template <class T>
  void put(const T& value);
  template <class T>
  void put_number(const T& value);
  template <class T>
  void put_pointer(const T& value);
  template <class T>
  void put_container(const T& value);
  template <class T>
  void put_map(const T& value);
  template <class T>
  void put_object(const T* object, bool owned) {
    if (!object) return out_.null();
    put_reference(address_of(object), type_of(object), owned);
  }
  template <class T>
  uint32_t class_number(T& object) {
    const size_t type = size_t(type_number<T>());
    if (type >= class_numbers_.size()) class_numbers_.resize(type + 1, kNoObject);
    if (class_numbers_[type] == kNoObject) {
      class_numbers_[type] = add_class(typeid(T), field_names(object));
    }
    return class_numbers_[type];
  }

  void begin_root(std::string_view name);
  void end_root();
  void add_singleton(std::string_view name, const void* address, const std::type_info& type);
  void put_reference(const void* address, const std::type_info& type, bool owned);
  uint32_t add_class(const std::type_info& type, const FieldNames& fields);
  const SavedClass* class_of(const std::type_info& type);
  std::string where() const;
  std::string where(uint32_t object, uint32_t field) const;

  std::string build_;
  Services services_;
  std::string error_;

  CborWriter out_;          // Objects; root_values_ while one of those is written.
  CborWriter root_values_;  // name, value, name, value ...
  std::vector<std::string> roots_;
  std::vector<Object> objects_;
  std::unordered_map<const void*, uint32_t> ids_;
  struct Singleton {
    std::string name;
    const std::type_info* type;
  };
  std::unordered_map<const void*, Singleton> singletons_;
  std::vector<ClassOfImage> classes_;
  std::vector<uint32_t> class_numbers_;  // By type_number().
  std::unordered_map<const std::type_info*, const SavedClass*> known_;

  uint32_t saved_ = 0;            // So many objects are.
  uint32_t current_ = kNoObject;  // The object that is being saved.
  uint32_t field_ = 0;            // Which of its fields.
  int depth_ = 0;                 // How many structs deep.
};

template <class T>
void Writer::put(const T& value) {
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || kIsA<T, std::atomic>) {
    put_number(value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    out_.string(value);
  } else if constexpr (std::is_pointer_v<T> || kIsA<T, Ref> || kIsA<T, std::unique_ptr> ||
                       kIsA<T, std::shared_ptr> || kIsA<T, std::weak_ptr> ||
                       std::is_same_v<T, SharedAny>) {
    put_pointer(value);
  } else if constexpr (kIsA<T, std::optional>) {
    if (!value) return out_.null();
    out_.array(1);
    put(*value);
  } else if constexpr (kIsA<T, std::expected>) {
    out_.array(2);
    out_.boolean(value.has_value());
    if (!value) return put(value.error());
    if constexpr (std::is_void_v<typename T::value_type>) {
      out_.null();
    } else {
      put(*value);
    }
  } else if constexpr (kIsA<T, std::variant>) {
    out_.array(2);
    std::visit(
        [&]<class Held>(const Held& held) {
          out_.string(alternative_name<Held>());
          put(held);
        },
        value);
  } else if constexpr (std::is_same_v<T, std::monostate>) {
    out_.null();
  } else if constexpr (HasFields<T>) {
    put_struct(value);
  } else if constexpr (kSavedAsBytes<T>) {
    static_assert(std::is_trivially_copyable_v<T>);
    out_.bytes({reinterpret_cast<const char*>(&value), sizeof value});
  } else if constexpr (HasParts<T>) {
    put(saved_parts(const_cast<T&>(value)));
  } else if constexpr (kIsA<T, std::pair> || kIsA<T, std::tuple>) {
    out_.array(std::tuple_size_v<T>);
    std::apply([&](const auto&... part) { (put(part), ...); }, value);
  } else {
    put_container(value);
  }
}

template <class T>
void Writer::put_number(const T& value) {
  if constexpr (kIsA<T, std::atomic>) {
    put(value.load(std::memory_order_relaxed));
  } else if constexpr (std::is_same_v<T, bool>) {
    out_.boolean(value);
  } else if constexpr (std::is_enum_v<T>) {
    put_number(std::to_underlying(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    static_assert(sizeof(T) <= sizeof(double));
    out_.real(value);
  } else if constexpr (std::is_unsigned_v<T>) {
    out_.number(uint64_t(value));
  } else {
    out_.number(int64_t(value));
  }
}

template <class T>
void Writer::put_pointer(const T& value) {
  if constexpr (std::is_pointer_v<T>) {
    static_assert(std::is_class_v<std::remove_pointer_t<T>>, "only pointers to objects are saved");
    put_object(value, false);
  } else if constexpr (kIsA<T, std::weak_ptr>) {
    put_object(value.lock().get(), false);
  } else if constexpr (std::is_same_v<T, SharedAny>) {
    if (!value) return out_.null();
    put_reference(value.object().get(), *value.type(), true);
  } else {
    put_object(value.get(), true);
  }
}

template <class T>
void Writer::put_container(const T& value) {
  if constexpr (MapLike<T>) {
    put_map(value);
  } else if constexpr (std::is_array_v<T> || kIsStdArray<T> || Sequence<T>) {
    using Element = std::remove_cvref_t<decltype(*std::begin(value))>;
    if constexpr (ByteLike<Element> && requires { std::data(value); }) {
      out_.bytes({reinterpret_cast<const char*>(std::data(value)), std::size(value)});
    } else {
      out_.array(std::size(value));
      for (const auto& element : value) put<Element>(element);
    }
  } else {
    static_assert(SetLike<T>, "a type of which saving knows nothing: give it USK_FIELDS");
    static_assert(!kIsPointerKey<typename T::key_type>, "addresses differ from run to run");
    std::vector<const typename T::key_type*> keys;
    keys.reserve(value.size());
    for (const auto& key : value) keys.push_back(&key);
    if constexpr (kIsHashed<T>) {
      std::ranges::sort(keys, [](auto* a, auto* b) { return *a < *b; });
    }
    out_.array(keys.size());
    for (const auto* key : keys) put(*key);
  }
}

template <class T>
void Writer::put_map(const T& value) {
  static_assert(!kIsPointerKey<typename T::key_type>, "addresses differ from run to run");
  std::vector<const typename T::value_type*> entries;
  entries.reserve(value.size());
  for (const auto& entry : value) entries.push_back(&entry);
  if constexpr (kIsHashed<T>) {
    std::ranges::sort(entries, [](auto* a, auto* b) { return a->first < b->first; });
  }
  out_.map(entries.size());
  for (const auto* entry : entries) {
    put(entry->first);
    put(entry->second);
  }
}

}  // namespace usk::state
