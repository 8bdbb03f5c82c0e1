// The templates of Loader: how each kind of value is read.
#pragma once
#include "state/loader.h"

namespace usk::state {

template <class T>
OrFailure<T> Fields::value(std::string_view name) {
  Loader& l = loader_;
  const char* at = find(name);
  if (!at) {
    l.fail("field " + std::string(name) + " is missing");
    return usk::fail(l.error_);
  }
  const char* before = l.reader_.position();
  l.reader_.seek(at);
  T value = fresh_value<T>();
  l.get(value);
  if (l.failed()) return usk::fail(l.error_);
  l.reader_.seek(before);
  return value;
}

template <class T>
OrFailure<Ref<T>> Fields::ref(std::string_view name) {
  Ref<T> r = TRY(value<Ref<T>>(name));
  if (r) return r;
  loader_.fail("field " + std::string(name) + " points to nothing");
  return usk::fail(loader_.error_);
}

template <class T>
OrFailure<void> Loader::root(std::string_view name, T& value) {
  if (failed()) return usk::fail(error_);
  const auto it = roots_.find(std::string(name));
  if (it == roots_.end()) return usk::fail(error_ = "root " + std::string(name) + " is missing");
  reader_.seek(it->second);
  current_root_ = name;
  get(value);
  if (failed()) return usk::fail(error_);
  return {};
}

template <class T>
void Loader::get_struct(T& object) {
  uint32_t class_number;
  if (!begin_struct(class_number)) return;
  const FieldNames& names = field_names(object);
  const size_t type = size_t(type_number<T>());
  if (type >= maps_.size()) maps_.resize(type + 1);
  const FieldMap* map = map_for(maps_[type], class_number, names);
  Frame frame{map, nullptr, 0, frame_, Access::has_make_saved<T>()};
  std::vector<const char*> fields;
  if (!map->same) {
    frame.fields = &fields;
    if (!index_fields(classes_[class_number].fields.size(), fields)) return;
  }
  const char* end = frame.fields ? reader_.position() : nullptr;
  frame_ = &frame;
  Access::fields(object, *this);
  frame_ = frame.outer;
  if (end && !failed()) reader_.seek(end);
}

template <class T>
void Loader::field(T&& value) {
  Frame& f = *frame_;
  if (!failed()) {
    bool there = true;
    if (f.fields) {
      const int from = f.map->from[f.member];
      there = from >= 0;
      if (there) reader_.seek((*f.fields)[size_t(from)]);
    }
    if constexpr (std::is_lvalue_reference_v<T> && !std::is_const_v<std::remove_reference_t<T>>) {
      if (there) get(value);
    } else {
      if (!f.constructed) return fail("a const member that no make_saved() has set");
      if (there && !f.fields && !reader_.skip()) reader_failed();
    }
  }
  f.member++;
}

template <class T>
void Loader::get(T& value) {
  if (failed()) return;
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || kIsA<T, std::atomic>) {
    get_number(value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    std::string_view v;
    if (!reader_.string(v)) return reader_failed();
    value = v;
  } else if constexpr (std::is_pointer_v<T> || kIsA<T, Ref> || kIsA<T, std::unique_ptr> ||
                       kIsA<T, std::shared_ptr> || kIsA<T, std::weak_ptr> ||
                       std::is_same_v<T, SharedAny>) {
    get_pointer(value);
  } else if constexpr (kIsA<T, std::optional>) {
    if (reader_.skip_null()) return value.reset();
    uint64_t size;
    if (!reader_.array(size)) return reader_failed();
    if (size != 1) return fail("an optional value of several parts");
    if constexpr (std::is_constructible_v<typename T::value_type, Blank>) {
      get(value.emplace(Blank()));
    } else {
      get(value.emplace());
    }
  } else if constexpr (kIsA<T, std::expected>) {
    get_expected(value);
  } else if constexpr (kIsA<T, std::variant>) {
    get_variant(value);
  } else if constexpr (std::is_same_v<T, std::monostate>) {
    if (!reader_.skip_null()) fail("null is missing");
  } else if constexpr (HasFields<T>) {
    get_struct(value);
  } else if constexpr (kSavedAsBytes<T>) {
    if (!reader_.fixed_bytes(&value, sizeof value)) reader_failed();
  } else if constexpr (HasParts<T>) {
    auto parts = saved_parts(value);
    get(parts);
  } else if constexpr (kIsA<T, std::pair> || kIsA<T, std::tuple>) {
    uint64_t size;
    if (!reader_.array(size)) return reader_failed();
    if (size != std::tuple_size_v<T>) return fail("another number of parts is wanted");
    std::apply([&](auto&... part) { (get(part), ...); }, value);
  } else {
    get_container(value);
  }
}

template <class T>
void Loader::get_number(T& value) {
  if constexpr (kIsA<T, std::atomic>) {
    auto plain = value.load(std::memory_order_relaxed);
    get(plain);
    value.store(plain, std::memory_order_relaxed);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!reader_.boolean(value)) reader_failed();
  } else if constexpr (std::is_enum_v<T>) {
    auto number = std::to_underlying(value);
    get_number(number);
    if (failed()) return;
    if constexpr (HasMax<T>) {
      if (number < 0 || number > std::to_underlying(saved_max(T()))) {
        return fail("a number out of its range");
      }
    }
    value = T(number);
  } else if constexpr (std::is_floating_point_v<T>) {
    double number;
    if (!reader_.real(number)) return reader_failed();
    value = T(number);
  } else {
    std::conditional_t<std::is_unsigned_v<T>, uint64_t, int64_t> number;
    if (!reader_.number(number)) return reader_failed();
    if (number > std::numeric_limits<T>::max() || number < std::numeric_limits<T>::min()) {
      return fail("a number out of its range");
    }
    value = T(number);
  }
}

template <class T>
T* Loader::cast(const Made& made, const SavedClass& saved_class) {
  using Plain = std::remove_const_t<T>;
  if (*saved_class.type == typeid(Plain)) return static_cast<Plain*>(made.address);
  if constexpr (std::is_polymorphic_v<T>) {
    if (made.counted) return dynamic_cast<Plain*>(made.counted);
  }
  for (const SavedClass::Cast& c : saved_class.casts) {
    if (*c.to == typeid(Plain)) return static_cast<Plain*>(c.cast(made.address));
  }
  return nullptr;
}

template <class T>
T* Loader::singleton_as(std::string_view name) {
  using Plain = std::remove_const_t<T>;
  const auto it = singletons_.find(std::string(name));
  if (it == singletons_.end()) {
    fail("there is no " + std::string(name) + " here");
    return nullptr;
  }
  for (const Singleton& s : it->second) {
    if (*s.type == typeid(Plain)) return static_cast<Plain*>(s.address);
    if constexpr (std::is_polymorphic_v<T>) {
      if (auto* p = s.counted ? dynamic_cast<Plain*>(s.counted) : nullptr) return p;
    }
  }
  fail(std::string(name) + " is not what is wanted");
  return nullptr;
}

// What the next item points to: an object of the image (`object` is set) or a singleton; null for
// nothing and after failures.
template <class T>
T* Loader::get_target(Object*& target) {
  target = nullptr;
  if (reader_.skip_null()) return nullptr;
  if (reader_.next_is(Major::kText)) {
    std::string_view name;
    if (!reader_.string(name)) return reader_failed(), nullptr;
    return singleton_as<T>(name);
  }
  uint64_t id;
  if (!reader_.number(id)) return reader_failed(), nullptr;
  target = object(id);
  if (!target) return nullptr;
  const SavedClass& saved_class = *classes_[target->class_number].saved_class;
  T* p = cast<T>(target->made, saved_class);
  if (!p) wrong_class(saved_class, typeid(T));
  return p;
}

template <class T>
void Loader::get_pointer(T& value) {
  Object* target;
  if constexpr (std::is_pointer_v<T>) {
    value = get_target<std::remove_pointer_t<T>>(target);
    if (target) target->borrowed = true;
  } else if constexpr (kIsA<T, Ref>) {
    auto* p = get_target<std::remove_pointer_t<decltype(value.get())>>(target);
    if (target && !target->made.counted) return fail("an object that does not count");
    value = T::share(p);
    if (target) target->owned = true;
  } else if constexpr (kIsA<T, std::unique_ptr>) {
    get_unique(value);
  } else if constexpr (std::is_same_v<T, SharedAny>) {
    if (reader_.skip_null()) return value.reset();
    uint64_t id;
    if (!reader_.number(id)) return reader_failed();
    target = object(id);
    if (!target) return;
    const SavedClass& saved_class = *classes_[target->class_number].saved_class;
    if (target->made.counted || target->taken) return fail("an object that cannot be shared");
    if (!target->shared) target->holder = saved_class.share(target->made.address);
    target->shared = target->owned = true;
    value = SharedAny(target->holder, *saved_class.type);
  } else {
    auto* p = get_target<typename T::element_type>(target);
    if (!target) {
      if (p) return fail("a pointer that shares what exists once");
      return value.reset();
    }
    if (!p) return;
    if (target->made.counted || target->taken) return fail("an object that cannot be shared");
    if (!target->shared) {
      target->holder = classes_[target->class_number].saved_class->share(target->made.address);
      target->shared = true;
    }
    (kIsA<T, std::shared_ptr> ? target->owned : target->borrowed) = true;
    value = std::shared_ptr<typename T::element_type>(target->holder, p);
  }
}

template <class T>
void Loader::get_unique(T& value) {
  Object* target;
  auto* p = get_target<typename T::element_type>(target);
  if (failed()) return;
  if (!p) return value.reset();
  if (!target) return fail("a pointer that owns what exists once");
  if (target->made.counted || target->shared || target->taken) {
    return fail("an object with two owners");
  }
  target->taken = target->owned = true;
  value.reset(p);
}

template <class T>
void Loader::get_variant(T& value) {
  uint64_t size;
  if (!reader_.array(size)) return reader_failed();
  std::string_view name;
  if (size != 2) return fail("a variant is a name and a value");
  if (!reader_.string(name)) return reader_failed();
  bool found = false;
  [&]<class... Held>(std::variant<Held...>*) {
    (
        [&] {
          if (found || alternative_name<Held>() != name) return;
          found = true;
          get(value.template emplace<Held>());
        }(),
        ...);
  }(&value);
  if (!found) fail("a variant of another name");
}

template <class T>
void Loader::get_expected(T& value) {
  uint64_t size;
  if (!reader_.array(size)) return reader_failed();
  bool there = false;
  if (size != 2) return fail("a result is whether, and what");
  if (!reader_.boolean(there)) return reader_failed();
  if (!there) {
    typename T::error_type error{};
    get(error);
    value = std::unexpected(error);
  } else if constexpr (std::is_void_v<typename T::value_type>) {
    value = T();
    if (!reader_.skip_null()) fail("null is missing");
  } else {
    get(value.emplace());
  }
}

template <class T>
void Loader::get_container(T& value) {
  if constexpr (MapLike<T>) {
    get_map(value);
  } else if constexpr (std::is_array_v<T> || kIsStdArray<T>) {
    using Element = std::remove_cvref_t<decltype(*std::begin(value))>;
    if constexpr (ByteLike<Element>) {
      if (!reader_.fixed_bytes(std::data(value), std::size(value))) reader_failed();
    } else {
      uint64_t size;
      if (!reader_.array(size)) return reader_failed();
      if (size != std::size(value)) return fail("another number of elements is wanted");
      for (auto& element : value) get(element);
    }
  } else if constexpr (Sequence<T>) {
    if constexpr (ByteLike<typename T::value_type> && requires { value.data(); }) {
      std::string_view bytes;
      if (!reader_.string(bytes)) return reader_failed();
      const auto* first = reinterpret_cast<const typename T::value_type*>(bytes.data());
      value.assign(first, first + bytes.size());
    } else {
      uint64_t size;
      if (!reader_.array(size)) return reader_failed();
      value.clear();
      for (uint64_t i = 0; i < size && !failed(); i++) {
        if constexpr (std::is_same_v<typename T::value_type, bool>) {
          bool bit = false;
          get(bit);
          value.push_back(bit);
        } else if constexpr (std::is_constructible_v<typename T::value_type, Blank>) {
          get(value.emplace_back(Blank()));
        } else {
          get(value.emplace_back());
        }
      }
    }
  } else {
    static_assert(SetLike<T>, "a type of which loading knows nothing: give it USK_FIELDS");
    uint64_t size;
    if (!reader_.array(size)) return reader_failed();
    value.clear();
    for (uint64_t i = 0; i < size && !failed(); i++) {
      auto key = fresh_value<typename T::key_type>();
      get(key);
      value.insert(std::move(key));
    }
  }
}

template <class T>
void Loader::get_map(T& value) {
  uint64_t size;
  if (!reader_.map(size)) return reader_failed();
  value.clear();
  for (uint64_t i = 0; i < size && !failed(); i++) {
    auto key = fresh_value<typename T::key_type>();
    get(key);
    if (failed()) return;
    if constexpr (requires { value.try_emplace(std::move(key)); }) {
      const auto [it, is_new] = value.try_emplace(std::move(key));
      if (!is_new) return fail("a key that comes twice");
      get(it->second);
    } else {
      auto mapped = fresh_value<typename T::mapped_type>();
      get(mapped);
      value.emplace(std::move(key), std::move(mapped));
    }
  }
}

}  // namespace usk::state
