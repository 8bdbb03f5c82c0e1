// The part of CBOR (RFC 8949) that saved state uses: definite lengths, shortest forms.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace usk::state {

// The major types of RFC 8949, section 3.1.
enum class Major : uint8_t { kUnsigned, kNegative, kBytes, kText, kArray, kMap, kTag, kSimple };

constexpr uint64_t kFalse = 20, kTrue = 21, kNull = 22;  // Of kSimple.
constexpr uint64_t kSelfDescribed = 55799;               // The tag that marks a file as CBOR.
constexpr size_t kMaxNesting = 64;

// Appends data items to a string.
class CborWriter {
 public:
  void head(Major major, uint64_t argument);
  void number(uint64_t v) { head(Major::kUnsigned, v); }
  void number(int64_t v);
  void real(double v);
  void boolean(bool v) { head(Major::kSimple, v ? kTrue : kFalse); }
  void null() { head(Major::kSimple, kNull); }
  void array(uint64_t items) { head(Major::kArray, items); }
  void map(uint64_t pairs) { head(Major::kMap, pairs); }
  void bytes(std::string_view v) { chunk(Major::kBytes, v); }
  // As text where it is printable ASCII, else as bytes: what guests call text need not be UTF-8.
  void string(std::string_view v);
  // Items that were written elsewhere.
  void raw(std::string_view items) { out_ += items; }
  const std::string& out() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  void chunk(Major major, std::string_view v);
  std::string out_;
};

// Reads data items from bytes that nobody vouches for. After a failure (false) nothing more can be
// read, and error() says why.
class CborReader {
 public:
  CborReader() = default;
  explicit CborReader(std::string_view bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // Lengths of strings, arrays and maps never exceed what is left.
  bool head(Major& major, uint64_t& argument);
  bool number(uint64_t& v);
  bool number(int64_t& v);
  bool real(double& v);
  bool boolean(bool& v);
  bool array(uint64_t& items) { return head_of(Major::kArray, items, "an array is missing"); }
  bool map(uint64_t& pairs) { return head_of(Major::kMap, pairs, "a map is missing"); }
  bool tag(uint64_t& v) { return head_of(Major::kTag, v, "a tag is missing"); }
  // A text or byte string, in place.
  bool string(std::string_view& v);
  bool fixed_bytes(void* to, size_t size);
  // Whether a null comes next; it is consumed.
  bool skip_null();
  bool next_is(Major major) const { return at_ < end_ && uint8_t(*at_) >> 5 == uint8_t(major); }
  // One item of any kind with all that is in it.
  bool skip();

  bool at_end() const { return at_ == end_; }
  size_t left() const { return size_t(end_ - at_); }
  const char* position() const { return at_; }
  // Goes on at a place that position() gave before.
  void seek(const char* position) { at_ = position; }
  bool fail(const char* why);
  const char* error() const { return error_; }

 private:
  bool head_of(Major wanted, uint64_t& argument, const char* why);
  const char* at_ = nullptr;
  const char* end_ = nullptr;
  const char* error_ = nullptr;
};

}  // namespace usk::state
