        .section .rodata
        .globl usk_vdso_begin, usk_vdso_end
        .balign 16
usk_vdso_begin:
        .incbin VDSO_IMAGE
usk_vdso_end:
        .section .note.GNU-stack,"",@progbits
