// The notes of a core file: elf(5), core(5).
#pragma once
#include <signal.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "kernel/task/task.h"

namespace usk {

using NoteBytes = std::vector<std::byte>;

// Adds one note, padded as ELF wants it.
void add_note(NoteBytes& out, std::string_view name, uint32_t type,
              std::span<const std::byte> contents);

// NT_PRSTATUS of a stopped thread. `signal` is that of the dump, in every thread.
void add_status_note(NoteBytes& out, Task& t, int signal) EXCLUDES(task_mutex);
// NT_PRFPREG and NT_X86_XSTATE.
void add_fpu_notes(NoteBytes& out, Task& t);
// How much the notes of one thread take.
size_t thread_notes_size();

// NT_PRPSINFO, NT_SIGINFO, NT_AUXV and NT_FILE.
void add_process_notes(NoteBytes& out, Task& t, const siginfo_t& info, std::span<const Vma> areas)
    EXCLUDES(task_mutex);

}  // namespace usk
