// usk exec -t: the terminal of whoever calls, joined to a new one in the sandbox.
#pragma once
#include "control/client.h"

namespace usk {

// Sends the request and carries what is typed and shown until the program has ended; its exit code.
// Standard input is a terminal, which is raw meanwhile and gets its settings back however this
// ends.
OrFailure<int> exec_on_terminal(ControlClient& client, Json request);

}  // namespace usk
