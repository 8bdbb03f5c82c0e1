        .section .rodata
        .globl usk_blob_begin, usk_blob_end
        .balign 16
usk_blob_begin:
        .incbin BLOB_IMAGE
usk_blob_end:
        .section .note.GNU-stack,"",@progbits
