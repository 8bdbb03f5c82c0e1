// The guest's vDSO (vdso(7)): the functions libc looks for. Each makes the system call of its name.
        .text
        .macro CALL name nr
        .globl __vdso_\name
        .type __vdso_\name, @function
        .weak \name
        .type \name, @function
        .balign 16
__vdso_\name:
\name:
        .cfi_startproc
        movl    $\nr, %eax
        syscall
        ret
        .cfi_endproc
        .size __vdso_\name, . - __vdso_\name
        .size \name, . - \name
        .endm

        CALL gettimeofday 96
        CALL time 201
        CALL clock_gettime 228
        CALL clock_getres 229
        CALL getcpu 309
        .section .note.GNU-stack,"",@progbits
