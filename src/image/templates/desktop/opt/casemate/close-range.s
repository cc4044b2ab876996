# A close_range() that asks for no descriptor above 2147483647. gVisor of 2024 answers EINVAL to the usual 4294967295, and GLib
# (so every program of a desktop that starts another) takes that for a failure. Loaded into all programs by /etc/ld.so.preload.
        .text
        .globl  close_range
        .type   close_range, @function
close_range:
        cmpl    $0x7fffffff, %esi
        jbe     1f
        movl    $0x7fffffff, %esi
1:      movl    $436, %eax
        syscall
        cmpq    $-4095, %rax
        jae     2f
        ret
2:      pushq   %rbx
        movl    %eax, %ebx
        negl    %ebx
        call    __errno_location@PLT
        movl    %ebx, (%rax)
        movl    $-1, %eax
        popq    %rbx
        ret
        .size   close_range, . - close_range
        .section .note.GNU-stack, "", @progbits
