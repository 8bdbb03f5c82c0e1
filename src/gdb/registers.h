// The registers as gdb numbers them: its manual, "Target Descriptions", "x86 Features".
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "arch/x86_64/regs.h"
#include "base/result.h"

namespace usk::gdb {

// What one thread has in them.
struct RegisterValues {
  Regs general;
  std::vector<std::byte> extended;  // An XSAVE area in the standard format.
};

size_t register_count();
size_t register_size(size_t number);  // In bytes.
// The target description of this host's processor.
std::string target_description();

std::string register_bytes(const RegisterValues& from, size_t number);
// `value` has the register's size. False: it cannot be changed.
bool set_register_bytes(RegisterValues& in, size_t number, std::string_view value);
// Whether that one is among the general registers.
bool is_general(size_t number);

// Numbers of signals differ as well: "enum gdb_signal". 0: gdb has none for it, or the other way.
int gdb_signal(int signal);
int host_signal(int gdb_signal);

}  // namespace usk::gdb
