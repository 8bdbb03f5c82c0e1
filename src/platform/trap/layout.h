// Where things are in a stub process of the trap platform; included by assembly too.
#pragma once

/* Guest addresses end where the blob begins. */
#define USK_BLOB_BASE 0x7fffd0000000
#define USK_BLOB_PATCHED (USK_BLOB_BASE + 0x40) /* Where thunks go. */
#define USK_BLOB_END 0x7fffd0010000             /* Of what the filter takes for the blob's code. */
#define USK_POLICY 0x7fffd0100000 /* One page that the kernel process writes and stubs read. */
#define USK_AREAS 0x7fffd1000000  /* The thread areas of this stub process, by slot. */
#define USK_AREA_SIZE 0x8000
#define USK_AREAS_PER_BLOCK 16 /* Areas are mapped by blocks. */
#define USK_BLOCK_SIZE (USK_AREA_SIZE * USK_AREAS_PER_BLOCK)
#define USK_MAX_SLOTS 16384
/* Top of the address space of a 64-bit process (4-level paging). */
#define USK_STUB_TOP 0x7ffffffff000

/* Patched call sites: `jmp *slot` through this table to their thunks (patches.h). The third byte of
   a slot's address is the sixth of the patched site and no instruction of 64-bit code (06, 07), so
   that a jump to there faults. */
#define USK_TABLE 0x60000
#define USK_TABLE_SIZE 0x20000
#define USK_THUNKS 0x7fffd0200000
#define USK_THUNK_SIZE 128
#define USK_THUNK_COUNT (USK_TABLE_SIZE / 8)
#define USK_THUNK_BACK 88    /* Where its tail goes on. */
#define USK_THUNK_TAIL 96    /* Address of its tail, beyond the thunk if it has none. */
#define USK_THUNK_SLOW 104   /* Address of its system call instruction. */
#define USK_THUNK_RETURN 112 /* Where the call goes back to: its tail, or into the program ... */
#define USK_THUNK_SITE 120   /* ... and the site that leads to it. */
#define USK_THUNKS_END (USK_THUNKS + USK_THUNK_SIZE * USK_THUNK_COUNT)

/* In the memory file that all stubs hold as descriptor 0. */
#define USK_FILE_POLICY 0
#define USK_FILE_TABLE 0x1000
#define USK_FILE_THUNKS (USK_FILE_TABLE + USK_TABLE_SIZE)
#define USK_FILE_AREAS (USK_FILE_THUNKS + USK_THUNK_SIZE * USK_THUNK_COUNT)

/* Where the kernel process installs the descriptor of a file to be mapped, and those of files that
   every stub may map (files.h). */
#define USK_STUB_FILE_FD 16
#define USK_STUB_PROMISED_FDS 17 /* Up to USK_STUB_FILES. */
#define USK_STUB_FILES 32
#define USK_STUB_FILES_END 96

/* As its fourth argument, which the host leaves alone, it makes an madvise(2) of areas wait for the
   kernel process's word. */
#define USK_ASKS 1

/* The call that posts to the sleeping kernel process; no call of any host. */
#define USK_NR_NOTIFY 0x3fff

/* Offsets in struct Area, checked in area.h. */
#define USK_O_INTERRUPT 128
#define USK_O_SELF 144
#define USK_O_STACK 152
#define USK_O_FIXUP 160
#define USK_O_MINUS_SELF 168
#define USK_O_ANSWERED 176
#define USK_O_REGS 192
#define USK_O_R15 (USK_O_REGS + 0)
#define USK_O_R14 (USK_O_REGS + 8)
#define USK_O_R13 (USK_O_REGS + 16)
#define USK_O_R12 (USK_O_REGS + 24)
#define USK_O_RBP (USK_O_REGS + 32)
#define USK_O_RBX (USK_O_REGS + 40)
#define USK_O_R11 (USK_O_REGS + 48)
#define USK_O_R10 (USK_O_REGS + 56)
#define USK_O_R9 (USK_O_REGS + 64)
#define USK_O_R8 (USK_O_REGS + 72)
#define USK_O_RAX (USK_O_REGS + 80)
#define USK_O_RCX (USK_O_REGS + 88)
#define USK_O_RDX (USK_O_REGS + 96)
#define USK_O_RSI (USK_O_REGS + 104)
#define USK_O_RDI (USK_O_REGS + 112)
#define USK_O_RIP (USK_O_REGS + 120)
#define USK_O_FLAGS (USK_O_REGS + 128)
#define USK_O_RSP (USK_O_REGS + 136)
#define USK_O_FSBASE (USK_O_REGS + 144)
#define USK_O_GSBASE (USK_O_REGS + 152)
#define USK_O_REQUEST 8 /* args */
#define USK_O_NR 4
#define USK_O_IDENTITY 384

/* In an area: the stub's own stack, buffer of copies, alternate signal stack. */
#define USK_AREA_STACK_TOP 0x2000
#define USK_AREA_BUFFER 0x2000
#define USK_AREA_BUFFER_SIZE 0x4000
#define USK_AREA_SIGNAL_STACK 0x6000

/* What rt_sigreturn(2) reads above the stack pointer: struct ucontext. */
#define USK_FRAME_CONTEXT 304
