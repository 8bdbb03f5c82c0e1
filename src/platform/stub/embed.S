        .section .rodata
        .globl usk_stub_image_begin, usk_stub_image_end
        .balign 16
usk_stub_image_begin:
        .incbin STUB_IMAGE
usk_stub_image_end:
        .section .note.GNU-stack,"",@progbits
