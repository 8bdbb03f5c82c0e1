// The state letter of a task: proc_pid_stat(5).
#pragma once
#include "kernel/task/task.h"

namespace usk::proc {

char state_letter(const Task& t) REQUIRES(task_mutex);
const char* state_name_of(char letter);

}  // namespace usk::proc
