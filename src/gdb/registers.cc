#include "gdb/registers.h"

#include <fmt/format.h>

#include <cstring>

#include "arch/x86_64/xstate.h"

namespace usk::gdb {
namespace {

// Places in the XSAVE area: Intel SDM volume 1, chapters 10.5.1 and 13.
constexpr size_t kControlWord = 0, kStatusWord = 2, kTagByte = 4, kOpcode = 6, kInstruction = 8,
                 kOperand = 16, kMxcsr = 24, kX87 = 32, kXmm = 160, kFeatures = 512, kYmmHigh = 576,
                 kAvxEnd = kYmmHigh + 16 * 16;
constexpr uint64_t kHasX87 = 1, kHasSse = 2, kHasAvx = 4;

struct Register {
  std::string name;
  size_t size;  // In bytes.
  std::string type, group;
  enum class In { kGeneral, kExtended, kTags } in;
  size_t offset;
  uint64_t feature;  // kExtended: the bit of the state component.
};

struct Feature {
  std::string name, types;
  std::vector<Register> registers;
};

using In = Register::In;

Feature core_feature() {
  constexpr std::string_view kTypes =
      "<flags id=\"i386_eflags\" size=\"4\"><field name=\"CF\" start=\"0\" end=\"0\"/>"
      "<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
      "<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
      "<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
      "<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
      "</flags>";
  Feature f{"org.gnu.gdb.i386.core", std::string(kTypes), {}};
  auto general = [&](const char* name, size_t size, const char* type, size_t offset) {
    f.registers.push_back({name, size, type, "", In::kGeneral, offset, 0});
  };
#define GENERAL(name, size, type) general(#name, size, type, offsetof(user_regs_struct, name))
  GENERAL(rax, 8, "int64");
  GENERAL(rbx, 8, "int64");
  GENERAL(rcx, 8, "int64");
  GENERAL(rdx, 8, "int64");
  GENERAL(rsi, 8, "int64");
  GENERAL(rdi, 8, "int64");
  GENERAL(rbp, 8, "data_ptr");
  GENERAL(rsp, 8, "data_ptr");
  GENERAL(r8, 8, "int64");
  GENERAL(r9, 8, "int64");
  GENERAL(r10, 8, "int64");
  GENERAL(r11, 8, "int64");
  GENERAL(r12, 8, "int64");
  GENERAL(r13, 8, "int64");
  GENERAL(r14, 8, "int64");
  GENERAL(r15, 8, "int64");
  GENERAL(rip, 8, "code_ptr");
  GENERAL(eflags, 4, "i386_eflags");
  GENERAL(cs, 4, "int32");
  GENERAL(ss, 4, "int32");
  GENERAL(ds, 4, "int32");
  GENERAL(es, 4, "int32");
  GENERAL(fs, 4, "int32");
  GENERAL(gs, 4, "int32");
#undef GENERAL
  auto x87 = [&](const std::string& name, size_t size, const char* type, size_t offset, In in) {
    f.registers.push_back({name, size, type, "float", in, offset, kHasX87});
  };
  for (size_t i = 0; i < 8; i++) {
    x87(fmt::format("st{}", i), 10, "i387_ext", kX87 + 16 * i, In::kExtended);
  }
  x87("fctrl", 4, "int", kControlWord, In::kExtended);
  x87("fstat", 4, "int", kStatusWord, In::kExtended);
  x87("ftag", 4, "int", kTagByte, In::kTags);
  x87("fiseg", 4, "int", kInstruction + 4, In::kExtended);
  x87("fioff", 4, "int", kInstruction, In::kExtended);
  x87("foseg", 4, "int", kOperand + 4, In::kExtended);
  x87("fooff", 4, "int", kOperand, In::kExtended);
  x87("fop", 4, "int", kOpcode, In::kExtended);
  return f;
}

Feature sse_feature() {
  constexpr std::string_view kTypes =
      "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
      "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
      "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
      "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
      "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
      "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
      "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
      "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>"
      "<field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
      "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>";
  Feature f{"org.gnu.gdb.i386.sse", std::string(kTypes), {}};
  for (size_t i = 0; i < 16; i++) {
    f.registers.push_back(
        {fmt::format("xmm{}", i), 16, "vec128", "", In::kExtended, kXmm + 16 * i, kHasSse});
  }
  f.registers.push_back({"mxcsr", 4, "int", "vector", In::kExtended, kMxcsr, 0});
  return f;
}

std::vector<Feature> make_features() {
  std::vector<Feature> all = {core_feature(), sse_feature()};
  auto general = [](const char* name, size_t offset, const char* type) {
    return Register{name, 8, type, "", In::kGeneral, offset, 0};
  };
  all.push_back({"org.gnu.gdb.i386.linux",
                 "",
                 {general("orig_rax", offsetof(user_regs_struct, orig_rax), "int")}});
  all.push_back({"org.gnu.gdb.i386.segments",
                 "",
                 {general("fs_base", offsetof(user_regs_struct, fs_base), "int"),
                  general("gs_base", offsetof(user_regs_struct, gs_base), "int")}});
  if (!(xstate_mask() & kHasAvx) || xstate_size() < kAvxEnd) return all;
  Feature avx{"org.gnu.gdb.i386.avx", "", {}};
  for (size_t i = 0; i < 16; i++) {
    avx.registers.push_back(
        {fmt::format("ymm{}h", i), 16, "uint128", "", In::kExtended, kYmmHigh + 16 * i, kHasAvx});
  }
  all.push_back(std::move(avx));
  return all;
}

const std::vector<Feature>& features() {
  static const std::vector<Feature> all = make_features();
  return all;
}

const std::vector<const Register*>& registers() {
  static const std::vector<const Register*> all = [] {
    std::vector<const Register*> list;
    for (const Feature& f : features()) {
      for (const Register& r : f.registers) list.push_back(&r);
    }
    return list;
  }();
  return all;
}

// How many bytes of it the area has; gdb shows the rest as 0.
size_t stored_size(const Register& r) {
  if (r.group != "float" || r.type == "i387_ext") return r.size;
  if (r.offset == kInstruction || r.offset == kOperand) return 4;
  return 2;
}

uint64_t present(const RegisterValues& v) {
  uint64_t bits = 0;
  if (v.extended.size() >= kYmmHigh) memcpy(&bits, v.extended.data() + kFeatures, sizeof bits);
  return bits;
}

// The area says of each x87 register whether it is empty; the register itself has two bits, 3 for
// empty. What else they may say is derived from the value, and left out here.
uint32_t full_tags(uint8_t used) {
  uint32_t tags = 0;
  for (int i = 0; i < 8; i++) tags |= used & 1 << i ? 0 : 3u << (2 * i);
  return tags;
}

uint8_t used_tags(uint32_t tags) {
  uint8_t used = 0;
  for (int i = 0; i < 8; i++) used |= uint8_t((tags >> (2 * i) & 3) != 3) << i;
  return used;
}

}  // namespace

size_t register_count() { return registers().size(); }
size_t register_size(size_t number) { return registers()[number]->size; }
bool is_general(size_t number) { return registers()[number]->in == In::kGeneral; }

std::string target_description() {
  std::string out =
      "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
      "<architecture>i386:x86-64</architecture><osabi>GNU/Linux</osabi>";
  for (const Feature& f : features()) {
    out += fmt::format("<feature name=\"{}\">{}", f.name, f.types);
    for (const Register& r : f.registers) {
      out += fmt::format("<reg name=\"{}\" bitsize=\"{}\" type=\"{}\"", r.name, 8 * r.size, r.type);
      out += r.group.empty() ? "/>" : fmt::format(" group=\"{}\"/>", r.group);
    }
    out += "</feature>";
  }
  return out + "</target>";
}

std::string register_bytes(const RegisterValues& v, size_t number) {
  const Register& r = *registers()[number];
  std::string out(r.size, '\0');
  if (r.in == In::kGeneral) {
    const auto* base =
        reinterpret_cast<const char*>(static_cast<const user_regs_struct*>(&v.general));
    memcpy(out.data(), base + r.offset, r.size);
    return out;
  }
  // A component that is not there is in its initial state, which is all zeros but for these.
  const bool there = !r.feature || present(v) & r.feature;
  uint32_t value = 0;
  if (r.in == In::kTags) {
    value = full_tags(there && v.extended.size() > kTagByte ? uint8_t(v.extended[kTagByte]) : 0);
    memcpy(out.data(), &value, sizeof value);
  } else if (!there && r.name == "fctrl") {
    value = 0x37f;
    memcpy(out.data(), &value, sizeof value);
  } else if (there && r.offset + r.size <= v.extended.size()) {
    memcpy(out.data(), v.extended.data() + r.offset, stored_size(r));
  }
  return out;
}

bool set_register_bytes(RegisterValues& v, size_t number, std::string_view value) {
  const Register& r = *registers()[number];
  if (r.in == In::kGeneral) {
    auto* base = reinterpret_cast<char*>(static_cast<user_regs_struct*>(&v.general));
    uint64_t word = 0;
    memcpy(&word, value.data(), r.size);
    memcpy(base + r.offset, &word, sizeof word);
    return true;
  }
  if (r.offset + r.size > v.extended.size() || v.extended.size() < kYmmHigh) return false;
  uint64_t bits = present(v);
  if (r.feature & ~bits & kHasX87) {
    memset(v.extended.data(), 0, kMxcsr);
    memset(v.extended.data() + kX87, 0, kXmm - kX87);
    const uint16_t initial = 0x37f;
    memcpy(v.extended.data(), &initial, sizeof initial);
  } else if (r.feature & ~bits) {
    const size_t at = r.feature == kHasSse ? kXmm : kYmmHigh;
    memset(v.extended.data() + at, 0, 16 * 16);
  }
  bits |= r.feature;
  memcpy(v.extended.data() + kFeatures, &bits, sizeof bits);
  if (r.in == In::kTags) {
    uint32_t tags;
    memcpy(&tags, value.data(), sizeof tags);
    v.extended[kTagByte] = std::byte(used_tags(tags));
    return true;
  }
  memcpy(v.extended.data() + r.offset, value.data(), stored_size(r));
  return true;
}

namespace {
// gdb's numbers of the signals 1 to 31.
constexpr uint8_t kNumbers[] = {0, 1,  2,  3,  4,  5,  6,  10, 8,  9,  30, 11, 31, 13, 14, 15,
                                0, 20, 19, 17, 18, 21, 22, 16, 24, 25, 26, 27, 28, 23, 32, 12};
constexpr int kRealtime32 = 77, kRealtime33 = 45, kRealtime64 = 78;
}  // namespace

int gdb_signal(int signal) {
  if (signal > 0 && signal < 32) return kNumbers[signal];
  if (signal == 32) return kRealtime32;
  if (signal == 64) return kRealtime64;
  return signal > 32 && signal < 64 ? kRealtime33 + signal - 33 : 0;
}

int host_signal(int wanted) {
  for (int s = 1; wanted > 0 && s <= 64; s++) {
    if (gdb_signal(s) == wanted) return s;
  }
  return 0;
}

}  // namespace usk::gdb
