// Closing descriptors.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// What close(2) does with a file that left a descriptor table: flush, POSIX locks of the table's
// owner dropped. The result of the flush.
Result<void> close_file(Task& t, Ref<File> file);
Result<void> close_file(const FdTable& table, Ref<File> file);
void close_files(Task& t, std::vector<Ref<File>> files);

}  // namespace usk
