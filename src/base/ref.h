// Shared ownership by an intrusive count.
#pragma once
#include <atomic>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "base/threads.h"

namespace usk {

class RefCounted {
 public:
  RefCounted() = default;
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;
  virtual ~RefCounted() = default;
  void ref() const { add_to(refs_, 1); }
  void unref() const {
    if (add_to(refs_, -1, std::memory_order_acq_rel) == 1) {
      const_cast<RefCounted*>(this)->last_unref();
    }
  }
  // ref() unless the last count is gone already: for a holder of a plain pointer that learns of
  // the end in last_unref().
  bool try_ref() const {
    int n = refs_.load(std::memory_order_relaxed);
    while (n > 0 && !refs_.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel)) {
    }
    return n > 0;
  }
  // How many hold it now; only a hint where other threads may hold it.
  int ref_count() const { return refs_.load(std::memory_order_relaxed); }

 protected:
  // The last count went and the object is still whole; deletes it. It cannot be revived.
  virtual void last_unref() { delete this; }

 private:
  mutable std::atomic<int> refs_{1};
};

// How Ref counts. A header that names a class without knowing it may declare overloads for it.
template <class T>
void add_count(const T* p) {
  p->ref();
}
template <class T>
void drop_count(const T* p) {
  p->unref();
}

template <class T>
class Ref {
 public:
  // Takes over a count that the caller holds (a fresh object is born with one).
  static Ref adopt(T* p) {
    Ref r;
    r.p_ = p;
    return r;
  }
  // Adds a count of its own.
  static Ref share(T* p) {
    if (p) add_count(p);
    return adopt(p);
  }
  Ref() = default;
  Ref(std::nullptr_t) {}
  Ref(const Ref& o) : p_(o.p_) {
    if (p_) add_count(p_);
  }
  Ref(Ref&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Ref(Ref<U> o) : p_(o.release()) {}
  Ref& operator=(Ref o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Ref() {
    if (p_) drop_count(p_);
  }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  T* get() const { return p_; }
  explicit operator bool() const { return p_ != nullptr; }
  T* release() { return std::exchange(p_, nullptr); }
  void reset() { *this = Ref(); }
  friend bool operator==(const Ref& a, const Ref& b) { return a.p_ == b.p_; }

 private:
  T* p_ = nullptr;
};

template <class T, class... A>
Ref<T> make_ref(A&&... a) {
  return Ref<T>::adopt(new T(std::forward<A>(a)...));
}

// A Ref<U> to the same object when it is one, else null.
template <class U, class T>
Ref<U> ref_cast(const Ref<T>& r) {
  return Ref<U>::share(dynamic_cast<U*>(r.get()));
}

}  // namespace usk
