// What a seccomp filter answers, worked out here: for tests, and to tell what a filter lets
// through.
#pragma once
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <optional>
#include <set>
#include <span>

namespace usk::host {

// Runs the classic BPF instructions that seccomp(2) takes. Nothing: one that is not known here, or
// no verdict.
std::optional<uint32_t> run_filter(std::span<const sock_filter> filter, const seccomp_data& data);

// The verdicts that a call may get for some arguments, found by going both ways wherever they
// decide.
std::set<uint32_t> possible_verdicts(std::span<const sock_filter> filter, uint32_t nr,
                                     uint64_t instruction_pointer);

}  // namespace usk::host
