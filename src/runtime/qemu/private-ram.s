# Preloaded into QEMU where a machine's RAM is a private mapping of a file that others map too. QEMU 7.2 opens such a file
# read-write all the same, and a QEMU that was broken into could then change the memory of machines to come. Here "/ram" is
# opened read-only, which is all that a private mapping needs; the file's mode forbids the rest.
	.text
	.globl	open64
	.type	open64, @function
	.globl	__open64_2		# what open() with a variable flag word is compiled to
	.type	__open64_2, @function
open64:
__open64_2:
	cmpb	$'/', (%rdi)
	jne	1f
	cmpb	$'r', 1(%rdi)
	jne	1f
	cmpb	$'a', 2(%rdi)
	jne	1f
	cmpb	$'m', 3(%rdi)
	jne	1f
	cmpb	$0, 4(%rdi)
	jne	1f
	andl	$~3, %esi		# O_RDWR becomes O_RDONLY
1:	movl	%edx, %ecx
	movl	%esi, %edx
	movq	%rdi, %rsi
	movl	$-100, %edi		# AT_FDCWD
	jmp	openat64@PLT
	.section .note.GNU-stack,"",@progbits
