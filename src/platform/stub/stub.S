// The code of a stub process. See README.md.
#include "layout.h"

        .section .text
        .globl _start
_start: int3                            // The kernel process takes over here.

        .org USK_STUB_SYSCALL - USK_STUB_BASE
        syscall                         // One call, its registers set from outside.
        int3

        .org USK_STUB_BATCH - USK_STUB_BASE
1:      cmpq    %r13, %r12              // Commands from r12 up to r13; stops at the first error,
        jae     2f                      // with its result in rax and its command in r12.
        movq    0(%r12), %rax
        movq    8(%r12), %rdi
        movq    16(%r12), %rsi
        movq    24(%r12), %rdx
        movq    32(%r12), %r10
        movq    40(%r12), %r8
        movq    48(%r12), %r9
        syscall
        cmpq    $-4095, %rax
        jae     2f
        addq    $USK_STUB_COMMAND_SIZE, %r12
        jmp     1b
2:      int3

        .org USK_STUB_CMPXCHG - USK_STUB_BASE
        lock cmpxchgl %esi, (%rdi)      // A fault here means that the word cannot be written.
        int3

        .org USK_STUB_COMMANDS - USK_STUB_BASE
        .fill 4096
        .section .note.GNU-stack,"",@progbits
