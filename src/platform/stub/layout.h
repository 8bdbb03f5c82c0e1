// Where things are in a stub process, unless its addresses end earlier (in_stub()); included by
// assembly too.
#pragma once

#define USK_STUB_BASE 0x7fffd0000000
#define USK_STUB_SYSCALL (USK_STUB_BASE + 0x40)  /* syscall; int3 */
#define USK_STUB_BATCH (USK_STUB_BASE + 0x80)    /* runs commands r12..r13, then int3 */
#define USK_STUB_CMPXCHG (USK_STUB_BASE + 0x100) /* lock cmpxchg %esi, (%rdi); int3 */
#define USK_STUB_COMMANDS (USK_STUB_BASE + 0x1000)
#define USK_STUB_COMMAND_SIZE 64
#define USK_STUB_MAX_COMMANDS 32
/* A page that the stub may write: a message header for receiving a descriptor. */
#define USK_STUB_MESSAGE (USK_STUB_BASE + 0x2000)
#define USK_STUB_END (USK_STUB_BASE + 0x3000)
