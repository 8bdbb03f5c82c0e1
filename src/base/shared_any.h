// One object of any type, shared, that remembers its type.
#pragma once
#include <memory>
#include <type_traits>
#include <typeinfo>

namespace usk {

// A std::shared_ptr<void> that knows what it points to: it can be saved, and never gives an object
// out as something else.
class SharedAny {
 public:
  SharedAny() = default;
  template <class T>
  explicit SharedAny(std::shared_ptr<T> p) : object_(std::move(p)), type_(&typeid(T)) {}
  // Of a type that is known only as `type`.
  SharedAny(std::shared_ptr<void> p, const std::type_info& type)
      : object_(std::move(p)), type_(&type) {}

  // Null unless it holds a T.
  template <class T>
  T* get() const {
    return object_ && *type_ == typeid(T) ? static_cast<T*>(object_.get()) : nullptr;
  }
  // The T that it holds, made now unless there is one.
  template <class T>
  T& ensure() {
    if (T* held = get<T>()) return *held;
    *this = SharedAny(std::make_shared<T>());
    return *static_cast<T*>(object_.get());
  }
  explicit operator bool() const { return object_ != nullptr; }
  void reset() { *this = SharedAny(); }
  const std::shared_ptr<void>& object() const { return object_; }
  const std::type_info* type() const { return type_; }

 private:
  std::shared_ptr<void> object_;
  const std::type_info* type_ = nullptr;
};

}  // namespace usk
