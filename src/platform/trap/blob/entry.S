// The parts of the blob that cannot be C++: entries, exits, clone and guarded accesses. gs points
// to the thread's area whenever blob code runs.
#include "platform/trap/layout.h"

        .section .text.start, "ax"
        .globl _start
_start: xorl    %ebp, %ebp
        andq    $-16, %rsp
        call    usk_zygote_start        // Does not return.
        hlt

// From the thunk of a patched call site: rax is the number of the call, r11 where to go on; rcx is
// free. As after a system call, the guest finds rcx and r11 changed.
        .org USK_BLOB_PATCHED - USK_BLOB_BASE
        movq    %rsp, %gs:USK_O_RSP
        movq    %gs:USK_O_STACK, %rsp
        pushfq
        popq    %rcx
        cld
        movq    %rcx, %gs:USK_O_FLAGS
        movq    %rcx, %gs:USK_O_R11
        movq    %r11, %gs:USK_O_RIP
        movq    %r11, %gs:USK_O_RCX
        rdfsbase %rcx
        movq    %rcx, %gs:USK_O_FSBASE
        movq    $0, %gs:USK_O_GSBASE
        movl    %eax, %gs:USK_O_NR
        movq    %rdi, %gs:USK_O_REQUEST
        movq    %rsi, %gs:USK_O_REQUEST + 8
        movq    %rdx, %gs:USK_O_REQUEST + 16
        movq    %r10, %gs:USK_O_REQUEST + 24
        movq    %r8, %gs:USK_O_REQUEST + 32
        movq    %r9, %gs:USK_O_REQUEST + 40
        movq    %rax, %gs:USK_O_RAX
        movq    %rdi, %gs:USK_O_RDI
        movq    %rsi, %gs:USK_O_RSI
        movq    %rdx, %gs:USK_O_RDX
        movq    %r10, %gs:USK_O_R10
        movq    %r8, %gs:USK_O_R8
        movq    %r9, %gs:USK_O_R9
        movq    %rbx, %gs:USK_O_RBX
        movq    %rbp, %gs:USK_O_RBP
        movq    %r12, %gs:USK_O_R12
        movq    %r13, %gs:USK_O_R13
        movq    %r14, %gs:USK_O_R14
        movq    %r15, %gs:USK_O_R15
        movq    %gs:USK_O_SELF, %rdi
        call    usk_patched
        jmp     usk_exit_window

        .text
// long usk_call(nr, a, b, c, d, e, f): a host system call.
        .globl usk_call
usk_call:
        movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    %rdx, %rsi
        movq    %rcx, %rdx
        movq    %r8, %r10
        movq    %r9, %r8
        movq    8(%rsp), %r9
        syscall
        ret

// long usk_futex_wait(addr, op, value, until, bitset): futex(2). A kick that comes before it or
// meanwhile ends it with -EINTR.
        .globl usk_futex_wait, usk_wait_window, usk_wait_window_end, usk_wait_interrupted
usk_futex_wait:
        movl    $202, %eax              // futex
        movq    %rcx, %r10
        movq    %r8, %r9
        xorl    %r8d, %r8d
usk_wait_window:
        cmpl    $0, %gs:USK_O_INTERRUPT
        jne     usk_wait_interrupted
usk_wait_window_end:
        syscall
        ret
usk_wait_interrupted:
        movq    $-4, %rax
        ret

        .globl usk_restorer
usk_restorer:
        movl    $15, %eax               // rt_sigreturn
        syscall

// [[noreturn]] void usk_on_stack(area, function): function(area) on the area's stack.
        .globl usk_on_stack
usk_on_stack:
        wrgsbase %rdi
        movq    %gs:USK_O_STACK, %rsp
        xorl    %ebp, %ebp
        call    *%rsi
        jmp     usk_exit_window

// long usk_clone_thread(flags, area, alive): the child goes on at usk_thread_start on `area`.
        .globl usk_clone_thread
usk_clone_thread:
        pushq   %r12
        movq    %rsi, %r12
        movq    %rdx, %r10              // CLONE_CHILD_CLEARTID: the word that tells of the end.
        movl    $56, %eax
        xorl    %esi, %esi
        xorl    %edx, %edx
        xorl    %r8d, %r8d
        syscall
        testl   %eax, %eax
        jz      1f
        popq    %r12
        ret
1:      movq    %r12, %rdi
        leaq    usk_thread_start(%rip), %rsi
        jmp     usk_on_stack

// long usk_fork(flags, block_address, file_offset): the child has no area (areas are not
// inherited), so it works with registers alone until it has mapped its own.
        .globl usk_fork
usk_fork:
        pushq   %r12
        pushq   %r13
        movq    %rsi, %r12
        movq    %rdx, %r13
        movl    $56, %eax
        xorl    %esi, %esi
        xorl    %edx, %edx
        xorl    %r10d, %r10d
        xorl    %r8d, %r8d
        syscall
        testl   %eax, %eax
        jz      1f
        popq    %r13
        popq    %r12
        ret
1:      movl    $9, %eax                // mmap
        movq    %r12, %rdi
        movl    $USK_BLOCK_SIZE, %esi
        movl    $3, %edx
        movl    $0x11, %r10d            // MAP_SHARED | MAP_FIXED
        xorl    %r8d, %r8d              // Descriptor 0.
        movq    %r13, %r9
        syscall
        cmpq    %r12, %rax
        jne     2f
        movl    $28, %eax               // madvise
        movq    %r12, %rdi
        movl    $USK_BLOCK_SIZE, %esi
        movl    $10, %edx               // MADV_DONTFORK
        xorl    %r10d, %r10d            // Not USK_ASKS.
        syscall
        rdgsbase %rdi                   // Inherited: the same address in the child's own block.
        leaq    usk_child_start(%rip), %rsi
        jmp     usk_on_stack
2:      movl    $231, %eax              // exit_group
        movl    $125, %edi
        syscall
        hlt

// long usk_guarded(area, function, argument): function(area, argument), or -EFAULT when an access
// of it faults.
        .globl usk_guarded, usk_guard_fault
usk_guarded:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %rsp, %gs:USK_O_FIXUP
        movq    %rsi, %rax
        movq    %rdx, %rsi
        subq    $8, %rsp
        call    *%rax
        addq    $8, %rsp
1:      movq    $0, %gs:USK_O_FIXUP
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret
usk_guard_fault:
        cld
        movq    %gs:USK_O_FIXUP, %rsp
        movq    $-14, %rax
        jmp     1b

// void usk_xsave(to, mask), void usk_xrstor(from, mask), void usk_fxrstor(from).
        .globl usk_xsave, usk_xrstor, usk_fxrstor
usk_xsave:
        movq    %rsi, %rdx
        movl    %esi, %eax
        shrq    $32, %rdx
        xsave64 (%rdi)
        ret
usk_xrstor:
        movq    %rsi, %rdx
        movl    %esi, %eax
        shrq    $32, %rdx
        xrstor64 (%rdi)
        ret
usk_fxrstor:
        fxrstor64 (%rdi)
        ret

// From a signal handler that saved the guest's registers: rdi is the area, esi the post.
        .globl usk_guest_trapped
usk_guest_trapped:
        cld
        call    usk_trapped
        jmp     usk_exit_window

usk_interrupted:
        movq    %gs:USK_O_STACK, %rsp
        movq    %gs:USK_O_SELF, %rdi
        call    usk_kicked

// Back to guest code with the registers of the area. A kick that comes between here and the end of
// the window starts it anew.
        .globl usk_exit_window, usk_exit_window_end, usk_slow_window, usk_slow_window_end
usk_exit_window:
        cmpl    $0, %gs:USK_O_INTERRUPT
        jne     usk_interrupted
        testl   $0x10100, %gs:USK_O_FLAGS // TF would trap inside this window; RF is lost by popf.
        jnz     3f
        cmpq    $0, %gs:USK_O_GSBASE    // A gs of the guest's own.
        jne     3f
        movq    %gs:USK_O_STACK, %rsp
        pushq   %gs:USK_O_FLAGS
        popfq
        movq    %gs:USK_O_R15, %r15
        movq    %gs:USK_O_R14, %r14
        movq    %gs:USK_O_R13, %r13
        movq    %gs:USK_O_R12, %r12
        movq    %gs:USK_O_RBP, %rbp
        movq    %gs:USK_O_RBX, %rbx
        movq    %gs:USK_O_R11, %r11
        movq    %gs:USK_O_R10, %r10
        movq    %gs:USK_O_R9, %r9
        movq    %gs:USK_O_R8, %r8
        movq    %gs:USK_O_RAX, %rax
        movq    %gs:USK_O_RCX, %rcx
        movq    %gs:USK_O_RDX, %rdx
        movq    %gs:USK_O_RSI, %rsi
        movq    %gs:USK_O_RDI, %rdi
        movq    %gs:USK_O_RSP, %rsp
        jmp     *%gs:USK_O_RIP
usk_exit_window_end:
3:      movq    %gs:USK_O_STACK, %rsp
        movq    %gs:USK_O_SELF, %rdi
        call    usk_build_frame
        cmpl    $0, %gs:USK_O_INTERRUPT
        jne     usk_interrupted
usk_slow_window:
        leaq    8(%rax), %rsp
        movq    %gs:USK_O_GSBASE, %rcx
        testq   %rcx, %rcx
        jz      4f
        wrgsbase %rcx
4:      movl    $15, %eax               // rt_sigreturn
usk_slow_window_end:
        syscall
        hlt

        .section .note.GNU-stack, "", @progbits
